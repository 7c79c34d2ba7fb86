"""Single images, as the COCO-trained model is evaluated."""
import torch

from mmvis.models.ifc.images import image_instances


def test_queries_without_a_class_or_a_pixel_are_no_instances():
    """Two padded images: in the first one query is an object, in the second none."""
    logits = torch.zeros(2, 3, 4)
    logits[..., -1] = 5
    logits[0, :2, 1] = 9
    masks = torch.full((2, 3, 1, 6, 8), -5.)
    masks[:, 1, 0, 1:3, 2:5] = 5                            # query 0 has a class but no pixel
    first, second = image_instances(logits, masks, (48, 64), [(48, 64), (32, 48)], [(96, 128), (50, 75)])
    assert first.labels.tolist() == [1] and first.scores[0] > 0.9
    assert first.masks.shape == (1, 96, 128)
    # the mask begins and ends in the middle between two small pixels, at network size, then all doubles
    assert first.boxes.tolist() == [[32., 16., 80., 48.]]
    rows, columns = first.masks[0].nonzero().T
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (32, 16, 80, 48)
    assert len(second.labels) == len(second.boxes) == 0 and second.masks.shape == (0, 50, 75)
