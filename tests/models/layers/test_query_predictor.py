"""Scale blocks and heads."""
import torch

from mmvis.models.layers.query_predictor import ChannelNorm, QueryPredictor, ScaleBlock


@torch.no_grad()
def test_scale_block():
    torch.manual_seed(0)
    block, x = ScaleBlock(6), torch.randn(2, 6, 3, 5)
    y = block(x)
    assert y.shape == (2, 6, 6, 10)
    torch.testing.assert_close(y.mean(1), torch.zeros(2, 6, 10), atol=1e-5, rtol=0)         # normed over the channels
    assert block.conv2.bias is None and block.conv2.groups == 6


def test_epsilon_of_every_norm():
    norms = [x for x in QueryPredictor(6, 3).modules() if isinstance(x, torch.nn.LayerNorm)]
    assert len(norms) == 2 and all(type(norm) is ChannelNorm and norm.eps == 1e-6 for norm in norms)


@torch.no_grad()
def test_masks_are_products_of_vectors_and_map():
    torch.manual_seed(0)
    predictor = QueryPredictor(6, 3)
    queries, patches = torch.randn(2, 4, 6), torch.randn(2, 6, 6)
    logits, masks = predictor(queries, patches, (2, 3))
    assert logits.shape == (2, 4, 4) and masks.shape == (2, 4, 8, 12)
    pixels = predictor.upscale(patches.transpose(1, 2).reshape(2, 6, 2, 3))
    torch.testing.assert_close(masks[1, 2, 5, 7], predictor.mask_head(queries[1, 2]) @ pixels[1, :, 5, 7])
    assert len(QueryPredictor(6, 3, patch_size=8).upscale) == 1
