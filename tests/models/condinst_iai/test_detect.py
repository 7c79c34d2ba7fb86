"""Detections of a frame from hand-made maps."""
import pytest
import torch

from mmvis.models.condinst_iai.detect import detect
from mmvis.models.condinst_iai.head import HeadOutputs

CFG = dict(nms_pre=200, cls_score_thr=0.1, id_score_thr=0.1, nms_iou_thr=0.5, max_per_img=10)
SIZES, STRIDES = ((8, 12), (4, 6)), (8, 16)


def logit(p):
    return float(torch.tensor(p).logit())


def maps(*cells):
    """Two levels where nothing is, but for cells (level, y, x, class probability, label, identity probability, slot,
    centerness, half side of the box in pixels)."""
    outputs = HeadOutputs([torch.full((1, 3, *size), -9.) for size in SIZES],
                          [torch.full((1, 5, *size), -9.) for size in SIZES],
                          [torch.ones(1, 4, *size) for size in SIZES], [torch.zeros(1, 1, *size) for size in SIZES],
                          [torch.zeros(1, 169, *size) for size in SIZES], torch.zeros(1, 8, 8, 12))
    for number, (level, y, x, cls, label, identity, slot, centerness, half) in enumerate(cells, start=1):
        outputs.cls_logits[level][0, label, y, x] = logit(cls)
        outputs.id_logits[level][0, slot, y, x] = logit(identity)
        outputs.centerness_logits[level][0, 0, y, x] = logit(centerness)
        outputs.distances[level][0, :, y, x] = half
        outputs.kernels[level][0, :, y, x] = number
    return outputs


def found(*cells, first=True, img_shape=(64, 96), ori_shape=(128, 192), **cfg):
    return detect(maps(*cells), STRIDES, img_shape, ori_shape, first, {**CFG, **cfg})


def test_boxes_are_in_original_pixels_and_clipped_to_the_image_without_its_padding():
    out = found((0, 2, 3, .9, 1, .9, 0, .5, 10.), (1, 3, 5, .8, 0, .9, 1, .5, 30.), img_shape=(60, 90),
                ori_shape=(120, 180))
    assert out.points.tolist() == [[28, 20], [88, 56]] and out.strides.tolist() == [8, 16]
    torch.testing.assert_close(out.boxes, torch.tensor([[36., 20., 76., 60.], [116., 52., 180., 120.]]))
    assert out.kernels[:, 0].tolist() == [1, 2]
    torch.testing.assert_close(out.cls_scores[0], torch.tensor([0., .45, 0.]), atol=1e-3, rtol=0)     # times centerness
    torch.testing.assert_close(out.id_scores[1, 1], torch.tensor(.9))                                 # not times it


def test_the_class_ranks_first_frames_and_the_identity_all_others():
    cells = (0, 1, 1, .9, 0, .3, 0, .5, 6.), (0, 5, 9, .4, 0, .7, 0, .5, 6.)
    assert found(*cells).kernels[:, 0].tolist() == [1, 2]
    later = found(*cells, first=False)
    assert later.kernels[:, 0].tolist() == [2, 1]
    torch.testing.assert_close(later.scores, torch.tensor([.45, .375]))


@pytest.mark.parametrize('cls, identity, counts', [(.11, .11, 1), (.09, .9, 0), (.9, .09, 0)])
def test_thresholds_do_not_ask_for_centerness(cls, identity, counts):
    assert len(found((0, 2, 3, cls, 1, identity, 0, .01, 10.))) == counts


def test_suppression_is_between_all_classes_and_levels():
    out = found((0, 2, 3, .9, 1, .9, 0, .5, 12.), (1, 1, 1, .8, 2, .9, 1, .5, 12.))
    assert len(out) == 1 and out.cls_scores[0].argmax() == 1
    assert len(found((0, 2, 3, .9, 1, .9, 0, .5, 12.), (0, 2, 8, .8, 2, .9, 1, .5, 12.))) == 2


def test_limits():
    cells = [(0, 1 + 2 * (i // 5), 1 + 2 * (i % 5), .9 - i / 50, 0, .9, 0, .5, 4.) for i in range(12)]
    assert len(found(*cells)) == 10 and len(found(*cells, max_per_img=3)) == 3
    # Only the best of a level by class and centerness are looked at, whatever their identity scores.
    weak = [(0, 0, 0, .95, 0, .05, 0, .5, 4.)] + cells
    assert found(*weak, nms_pre=2).kernels[:, 0].tolist() == [2]


def test_nothing():
    out = found()
    assert len(out) == 0 and out.boxes.shape == (0, 4) and out.cls_scores.shape == (0, 3)
