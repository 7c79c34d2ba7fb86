"""The same config under the name that the official README prints."""
_base_ = './sipmask_r50_caffe_fpn_gn_1x.py'
