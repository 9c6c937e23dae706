#include "support/cases.h"

#define NET_CASE_OF(title, shape, list, batch, count, shard_count, bytes)                                          \
  {                                                                                                                \
    .name = title, .input = shape, .layers = list, .global_batch = batch, .samples = count, .shards = shard_count, \
    .pixels = bytes                                                                                                \
  }
#define NET_CASE_LOSS(title, shape, list, batch, count, shard_count, goal, measured, of_bytes)                     \
  {                                                                                                                \
    .name = title, .input = shape, .layers = list, .global_batch = batch, .samples = count, .shards = shard_count, \
    .loss = goal, .metrics = measured, .byte_targets = of_bytes                                                    \
  }
#define NET_CASE(...) NET_CASE_OF(__VA_ARGS__, false)
#define NET_CASE_PIXELS(...) NET_CASE_OF(__VA_ARGS__, true)
/* A case whose layer stands between a 1x1 convolution and a linear layer of three classes. */
#define NET_CASE_BETWEEN(title, channels, height, width, text, ...) \
  NET_CASE(title, #channels ", " #height ", " #width,               \
           "[{conv: {filters: " #channels ", kernel: 1}}, " text ", flatten, {linear: 3}]", __VA_ARGS__)

const net_case net_cases[] = {
    /* linear */
    NET_CASE("linear", "7", "[{linear: 6}, {linear: 3}]", 8, 8, 2),
    NET_CASE("linear one input", "1", "[{linear: 5}, {linear: 2}]", 5, 5, 1),
    NET_CASE("linear wide", "33", "[{linear: 37}, {linear: 17}, {linear: 10}]", 40, 37, 3),
    NET_CASE("linear no bias", "20", "[{linear: {units: 6, bias: false}}, {linear: {units: 4, bias: false}}]", 17, 17, 1),
    NET_CASE("linear alone", "12", "[{linear: 10}]", 20, 19, 2),
    NET_CASE("mlp relu", "19", "[{linear: 16}, relu, {linear: 12}, relu, {linear: 10}]", 33, 33, 2),
    NET_CASE("mlp sigmoid", "19", "[{linear: 16}, sigmoid, {linear: 12}, sigmoid, {linear: 5}]", 33, 30, 3),
    NET_CASE("mlp tanh", "19", "[{linear: 16}, tanh, {linear: 48}, tanh, {linear: 5}]", 16, 16, 1),
    NET_CASE("mlp on an image", "3, 5, 7", "[flatten, {linear: 9}, relu, {linear: 4}]", 18, 18, 3),
    /* conv */
    NET_CASE_BETWEEN("conv 1x1", 3, 5, 5, "{conv: {filters: 4, kernel: 1}}", 6, 6, 1),
    NET_CASE_BETWEEN("conv 2x2", 3, 6, 5, "{conv: {filters: 5, kernel: 2}}", 7, 7, 2),
    NET_CASE_BETWEEN("conv 3x3", 3, 7, 6, "{conv: {filters: 4, kernel: 3}}", 17, 17, 1),
    NET_CASE_BETWEEN("conv 3x3 one channel", 1, 9, 7, "{conv: {filters: 1, kernel: 3}}", 9, 9, 3),
    NET_CASE_BETWEEN("conv 3x3 five channels", 5, 6, 7, "{conv: {filters: 3, kernel: 3}}", 20, 18, 2),
    NET_CASE_BETWEEN("conv 3x3 twenty channels", 20, 5, 5, "{conv: {filters: 20, kernel: 3, pad: 1}}", 8, 8, 2),
    NET_CASE_BETWEEN("conv 3x3 to twenty", 3, 6, 5, "{conv: {filters: 20, kernel: 3}}", 16, 16, 1),
    NET_CASE_BETWEEN("conv 3x3 sixteen channels pad", 16, 8, 8, "{conv: {filters: 16, kernel: 3, pad: 1}}", 20, 18, 2),
    NET_CASE_BETWEEN("conv 3x3 sixteen channels odd image", 16, 7, 9, "{conv: {filters: 18, kernel: 3}}, relu", 9, 9, 3),
    NET_CASE_BETWEEN("conv 3x3 sixteen channels pad 2", 17, 7, 9,
                     "tanh, {conv: {filters: 33, kernel: 3, pad: 2, bias: false}}, sigmoid", 5, 3, 1),
    NET_CASE_BETWEEN("conv 3x3 sixteen channels uneven pad", 20, 6, 11, "relu, {conv: {filters: 16, kernel: 3, pad: [2, 0]}}",
                     6, 6, 1),
    NET_CASE_BETWEEN("conv 3x3 sixteen channels maxpool", 16, 7, 9,
                     "relu, {conv: {filters: 17, kernel: 3, pad: 1}}, relu, {maxpool: {window: 2, stride: 2}}", 6, 6, 1),
    NET_CASE_BETWEEN("conv 3x3 no bias", 2, 5, 5, "{conv: {filters: 3, kernel: 3, bias: false}}", 5, 5, 2),
    NET_CASE_BETWEEN("conv 3x3 pad", 3, 5, 7, "{conv: {filters: 5, kernel: 3, pad: 1}}", 10, 10, 3),
    NET_CASE_BETWEEN("conv 5x5", 3, 9, 8, "{conv: {filters: 4, kernel: 5}}", 6, 6, 1),
    NET_CASE_BETWEEN("conv 5x5 pad", 2, 6, 5, "{conv: {filters: 5, kernel: 5, pad: 2}}", 18, 18, 2),
    NET_CASE_BETWEEN("conv 5x5 pad 4", 2, 4, 4, "{conv: {filters: 3, kernel: 5, pad: 4}}", 4, 4, 1),
    NET_CASE_BETWEEN("conv 1x1 pad", 2, 4, 3, "{conv: {filters: 3, kernel: 1, pad: 2}}", 6, 6, 1),
    NET_CASE_BETWEEN("conv pad beyond the window", 3, 5, 4, "{conv: {filters: 4, kernel: 3, pad: 5}}", 17, 16, 2),
    NET_CASE_BETWEEN("conv pad beyond, uneven, stride", 2, 4, 5,
                     "{conv: {filters: 3, kernel: [2, 3], stride: [3, 2], pad: [7, 4], dilation: [2, 1]}}", 6, 5, 1),
    NET_CASE_BETWEEN("conv pad beyond, groups", 4, 3, 3, "{conv: {filters: 6, kernel: 2, pad: 3, groups: 2}}, relu", 6, 6, 2),
    NET_CASE_BETWEEN("conv 3x3 sixteen channels pad beyond", 16, 7, 6, "{conv: {filters: 17, kernel: 3, pad: 6}}, relu", 6, 6,
                     1),
    NET_CASE_BETWEEN("conv 7x7 pad", 1, 8, 7, "{conv: {filters: 3, kernel: 7, pad: 3}}", 5, 5, 1),
    NET_CASE_BETWEEN("conv stride", 3, 9, 7, "{conv: {filters: 4, kernel: 3, stride: 2, pad: 1}}", 17, 16, 2),
    NET_CASE_BETWEEN("conv stride leaves a rest", 2, 8, 6, "{conv: {filters: 3, kernel: 3, stride: 2}}", 6, 6, 3),
    NET_CASE_BETWEEN("conv stride beyond the window", 2, 9, 10, "{conv: {filters: 3, kernel: 2, stride: 3}}", 6, 6, 1),
    NET_CASE_BETWEEN("conv 1x1 stride", 4, 7, 7, "{conv: {filters: 5, kernel: 1, stride: 2}}", 8, 8, 2),
    NET_CASE_BETWEEN("conv dilation", 2, 9, 8, "{conv: {filters: 3, kernel: 3, dilation: 2}}", 6, 6, 1),
    NET_CASE_BETWEEN("conv dilation pad", 2, 7, 8, "{conv: {filters: 3, kernel: 3, dilation: 2, pad: 2}}", 17, 17, 1),
    NET_CASE_BETWEEN("conv dilation stride", 2, 11, 10, "{conv: {filters: 3, kernel: 3, dilation: 3, stride: 2, pad: 1}}", 5, 5,
                     1),
    NET_CASE_BETWEEN("conv groups", 4, 5, 6, "{conv: {filters: 6, kernel: 3, groups: 2}}", 7, 7, 2),
    NET_CASE_BETWEEN("conv groups of one", 5, 6, 5, "{conv: {filters: 5, kernel: 3, pad: 1, groups: 5}}", 18, 18, 3),
    NET_CASE_BETWEEN("conv groups that multiply", 3, 6, 5, "{conv: {filters: 9, kernel: 3, groups: 3, bias: false}}", 6, 6, 1),
    NET_CASE_BETWEEN("conv rectangle", 2, 6, 7, "{conv: {filters: 3, kernel: [2, 5], stride: [1, 2], pad: [1, 2]}}", 6, 6, 2),
    NET_CASE_BETWEEN("conv row", 2, 1, 12, "{conv: {filters: 3, kernel: [1, 5]}}", 6, 6, 1),
    NET_CASE_BETWEEN("conv column", 2, 12, 1, "{conv: {filters: 3, kernel: [5, 1], pad: [2, 0]}}", 6, 6, 1),
    NET_CASE_BETWEEN("conv whole image", 3, 4, 5, "{conv: {filters: 6, kernel: [4, 5]}}", 6, 6, 1),
    NET_CASE_BETWEEN("conv everything", 4, 9, 10,
                     "{conv: {filters: 6, kernel: [3, 2], stride: [2, 3], pad: [2, 1], dilation: [2, 3], groups: 2}}", 17, 15,
                     2),
    NET_CASE("conv first", "3, 8, 7", "[{conv: {filters: 5, kernel: 3, pad: 1}}, flatten, {linear: 4}]", 20, 20, 3),
    NET_CASE("conv after conv", "2, 7, 7",
             "[{conv: {filters: 3, kernel: 3}}, {conv: {filters: 5, kernel: 3, pad: 1}}, {conv: {filters: 2, kernel: 2}}, "
             "flatten, {linear: 3}]",
             9, 9, 2),
    NET_CASE_PIXELS("conv from pixels", "3, 7, 6", "[{conv: {filters: 4, kernel: 3}}, relu, flatten, {linear: 3}]", 18, 17, 2),
    /* pooling */
    NET_CASE_BETWEEN("maxpool 2", 3, 6, 8, "{maxpool: {window: 2, stride: 2}}", 6, 6, 1),
    NET_CASE_BETWEEN("maxpool 2 odd image", 3, 7, 5, "{maxpool: {window: 2, stride: 2}}", 18, 18, 2),
    NET_CASE_BETWEEN("maxpool 3 overlapping", 2, 7, 8, "{maxpool: {window: 3, stride: 2}}", 6, 6, 1),
    NET_CASE_BETWEEN("maxpool 3 pad", 2, 7, 6, "{maxpool: {window: 3, stride: 2, pad: 1}}", 17, 17, 3),
    NET_CASE_BETWEEN("maxpool 3 dense", 2, 5, 5, "{maxpool: {window: 3, stride: 1, pad: 1}}", 6, 6, 2),
    NET_CASE_BETWEEN("maxpool rectangle", 2, 6, 7, "{maxpool: {window: [2, 3], stride: [2, 1]}}", 6, 6, 1),
    NET_CASE_BETWEEN("avgpool 2", 3, 6, 8, "{avgpool: {window: 2, stride: 2}}", 6, 6, 1),
    NET_CASE_BETWEEN("avgpool 3 pad", 2, 7, 6, "{avgpool: {window: 3, stride: 2, pad: 1}}", 17, 17, 3),
    NET_CASE_BETWEEN("avgpool 3 dense", 2, 5, 5, "{avgpool: {window: 3, stride: 1, pad: 1}}", 6, 6, 2),
    NET_CASE_BETWEEN("avgpool rectangle", 2, 6, 7, "{avgpool: {window: [3, 2], stride: [1, 2]}}", 6, 6, 1),
    NET_CASE("global avgpool", "4, 5, 7", "[{conv: {filters: 5, kernel: 1}}, global_avgpool, {linear: 3}]", 18, 18, 2),
    NET_CASE("pool on the input", "3, 6, 6", "[{maxpool: {window: 2, stride: 2}}, flatten, {linear: 3}]", 6, 6, 1),
    NET_CASE("pool after pool", "2, 12, 12",
             "[{conv: {filters: 3, kernel: 1}}, {maxpool: {window: 2, stride: 2}}, {avgpool: {window: 2, stride: 2}}, flatten, "
             "{linear: 3}]",
             6, 6, 2),
    /* activations, alone and where they can be fused */
    NET_CASE_BETWEEN("relu", 3, 4, 5, "relu", 17, 17, 2),
    NET_CASE_BETWEEN("sigmoid", 3, 4, 5, "sigmoid", 6, 6, 1),
    NET_CASE_BETWEEN("tanh", 3, 4, 5, "tanh", 6, 6, 3),
    NET_CASE_BETWEEN("softplus", 3, 4, 5, "softplus", 6, 6, 3),
    NET_CASE("activation on the input", "9", "[tanh, {linear: 4}]", 6, 6, 1),
    NET_CASE("activation after activation", "9", "[{linear: 8}, tanh, relu, {linear: 6}, sigmoid, tanh, {linear: 4}]", 17, 17,
             1),
    NET_CASE("activation of the logits", "9", "[{linear: 6}, relu, {linear: 4}, tanh]", 8, 8, 2),
    NET_CASE_BETWEEN("activation after pool", 3, 6, 6, "{avgpool: {window: 2, stride: 2}}, sigmoid", 6, 6, 1),
    NET_CASE_BETWEEN("conv relu maxpool", 3, 9, 8, "{conv: {filters: 5, kernel: 2}}, relu, {maxpool: {window: 2, stride: 2}}",
                     18, 18, 2),
    NET_CASE_BETWEEN("conv maxpool relu", 3, 8, 7, "{conv: {filters: 4, kernel: 3}}, {maxpool: {window: 2, stride: 2}}, relu",
                     17, 17, 1),
    NET_CASE_BETWEEN("conv tanh maxpool", 2, 7, 7,
                     "{conv: {filters: 3, kernel: 3, pad: 1}}, tanh, {maxpool: {window: 2, stride: 2}}", 6, 6, 1),
    NET_CASE_BETWEEN("conv sigmoid avgpool", 2, 8, 6,
                     "{conv: {filters: 3, kernel: 3, pad: 1}}, sigmoid, {avgpool: {window: 2, stride: 2}}", 6, 6, 1),
    NET_CASE_BETWEEN("conv relu twice", 3, 7, 6,
                     "relu, {conv: {filters: 5, kernel: 3, pad: 1}}, relu, {conv: {filters: 4, kernel: 3}}, relu", 19, 19, 3),
    NET_CASE_BETWEEN("conv maxpool", 3, 9, 9, "{conv: {filters: 20, kernel: 5, pad: 2}}, {maxpool: {window: 2, stride: 2}}", 7,
                     7, 1),
    NET_CASE_BETWEEN("leaky_relu", 3, 4, 5, "{leaky_relu: 0.2}", 17, 17, 2),
    NET_CASE_BETWEEN("conv leaky_relu maxpool", 3, 9, 8,
                     "leaky_relu, {conv: {filters: 5, kernel: 2}}, {leaky_relu: 0.125}, {maxpool: 2}", 18, 18, 2),
    NET_CASE_BETWEEN("gelu", 3, 4, 5, "gelu", 6, 6, 1),
    NET_CASE_BETWEEN("gelu_tanh", 3, 4, 5, "gelu_tanh", 17, 16, 3),
    NET_CASE_BETWEEN("conv gelu maxpool", 3, 9, 8, "gelu, {conv: {filters: 5, kernel: 2}}, gelu, {maxpool: 2}", 18, 18, 2),
    NET_CASE_BETWEEN("residual gelu", 3, 5, 5,
                     "{residual: [{conv: {filters: 3, kernel: 3, pad: 1}}, batchnorm, gelu, {conv: {filters: 3, kernel: 1}}]}, "
                     "gelu",
                     17, 17, 2),
    NET_CASE("mlp gelu", "19", "[{linear: 16}, gelu, {linear: 12}, {leaky_relu: 0.3}, {linear: 9}, gelu_tanh, {linear: 5}]", 33,
             33, 2),
    /* layernorm */
    NET_CASE_BETWEEN("layernorm", 3, 4, 5, "layernorm", 8, 8, 1),
    NET_CASE_BETWEEN("layernorm shards", 5, 5, 3, "layernorm", 40, 37, 3),
    NET_CASE_BETWEEN("layernorm options", 3, 4, 5, "{layernorm: {eps: 1e-3}}, relu", 18, 18, 2),
    NET_CASE("layernorm vector", "6", "[{linear: 5}, layernorm, gelu, {linear: 3}]", 20, 18, 2),
    NET_CASE("layernorm wide", "9", "[{linear: 300}, layernorm, relu, {linear: 3}]", 35, 33, 2),
    NET_CASE("layernorm on the input", "3, 5, 5", "[layernorm, flatten, {linear: 3}]", 9, 9, 2),
    NET_CASE_BETWEEN("residual layernorm", 4, 5, 5,
                     "{residual: [layernorm, {conv: {filters: 4, kernel: 3, pad: 1}}, gelu]}, layernorm", 18, 17, 2),
    /* batchnorm */
    NET_CASE_BETWEEN("batchnorm", 3, 4, 5, "batchnorm", 8, 8, 1),
    NET_CASE_BETWEEN("batchnorm shards", 5, 5, 3, "batchnorm", 40, 37, 3),
    NET_CASE_BETWEEN("batchnorm options", 3, 4, 5, "{batchnorm: {eps: 1e-3, momentum: 0.3}}", 18, 18, 2),
    NET_CASE_BETWEEN("batchnorm relu", 3, 4, 5, "batchnorm, relu", 17, 17, 1),
    NET_CASE_BETWEEN("batchnorm tanh", 20, 3, 3, "batchnorm, tanh", 6, 6, 2),
    NET_CASE_BETWEEN("conv batchnorm relu", 3, 6, 5, "{conv: {filters: 5, kernel: 3, bias: false}}, batchnorm, relu", 18, 18,
                     2),
    NET_CASE_BETWEEN("conv relu batchnorm", 3, 6, 5, "{conv: {filters: 5, kernel: 3}}, relu, batchnorm", 17, 17, 1),
    NET_CASE_BETWEEN("conv batchnorm relu maxpool", 3, 7, 8,
                     "{conv: {filters: 4, kernel: 3, pad: 1}}, batchnorm, relu, {maxpool: {window: 2, stride: 2}}", 12, 12, 2),
    NET_CASE_BETWEEN("batchnorm one pixel", 5, 1, 1, "batchnorm", 33, 33, 3),
    NET_CASE("batchnorm vector", "6", "[{linear: 5}, batchnorm, relu, {linear: 3}]", 20, 18, 2),
    NET_CASE("batchnorm on the input", "3, 5, 5", "[batchnorm, flatten, {linear: 3}]", 9, 9, 2),
    /* dropout */
    NET_CASE("dropout", "10", "[{linear: 12}, {dropout: 0.5}, {linear: 3}]", 17, 17, 2),
    NET_CASE("dropout twice", "10", "[{linear: 13}, relu, {dropout: 0.25}, {linear: 9}, {dropout: 0.7}, {linear: 3}]", 20, 18,
             3),
    NET_CASE("dropout none", "10", "[{linear: 12}, {dropout: 0}, {linear: 3}]", 6, 6, 1),
    NET_CASE_BETWEEN("dropout image", 3, 5, 5, "{conv: {filters: 5, kernel: 3}}, {dropout: 0.4}, relu", 18, 18, 2),
    NET_CASE("dropout on the input", "10", "[{dropout: 0.2}, {linear: 3}]", 6, 6, 1),
    /* noise */
    NET_CASE("noise", "10", "[{linear: 13}, {noise: 0.5}, tanh, {noise: 0.25}, {linear: 3}]", 37, 35, 2),
    NET_CASE("noise on the input", "10", "[{noise: {std: 0.2}}, {linear: 3}]", 6, 6, 1),
    NET_CASE_BETWEEN("noise image", 3, 5, 5, "{conv: {filters: 5, kernel: 3}}, relu, {noise: 0.4}", 18, 18, 2),
    NET_CASE_BETWEEN("noise in a branch", 3, 4, 4, "{residual: [{noise: 0.1}, relu]}, batchnorm", 20, 17, 3),
    /* residual */
    NET_CASE_BETWEEN("residual", 3, 5, 5, "{residual: [{conv: {filters: 3, kernel: 3, pad: 1}}]}", 6, 6, 1),
    NET_CASE_BETWEEN(
        "residual relu", 3, 5, 5,
        "{residual: [{conv: {filters: 3, kernel: 3, pad: 1}}, relu, {conv: {filters: 3, kernel: 3, pad: 1}}]}, relu", 17, 17,
        2),
    NET_CASE_BETWEEN("residual batchnorm", 4, 5, 5,
                     "batchnorm, relu, {residual: [{conv: {filters: 4, kernel: 3, pad: 1, bias: false}}, batchnorm, relu, "
                     "{conv: {filters: 4, kernel: 3, pad: 1, bias: false}}, batchnorm]}, relu",
                     18, 17, 2),
    NET_CASE_BETWEEN("residual sixteen channels", 16, 9, 6,
                     "relu, {residual: [{conv: {filters: 16, kernel: 3, pad: 1, bias: false}}, batchnorm, relu, {conv: "
                     "{filters: 16, kernel: "
                     "3, pad: 1}}]}, relu",
                     18, 17, 2),
    NET_CASE_BETWEEN("residual projection", 3, 7, 6, "{residual: [{conv: {filters: 5, kernel: 3, stride: 2, pad: 1}}, tanh]}",
                     6, 6, 1),
    NET_CASE_BETWEEN("residual projection batchnorm", 3, 7, 6,
                     "{residual: [{conv: {filters: 5, kernel: 3, stride: 2, pad: 1, bias: false}}, batchnorm, relu, "
                     "{conv: {filters: 5, kernel: 3, pad: 1}}, batchnorm]}, relu",
                     18, 18, 3),
    NET_CASE_BETWEEN("residual that ends in relu", 3, 5, 5, "relu, {residual: [{conv: {filters: 3, kernel: 1}}, relu]}", 6, 6,
                     2),
    NET_CASE_BETWEEN("residual of an activation", 3, 4, 4, "{residual: [sigmoid]}", 6, 6, 1),
    NET_CASE_BETWEEN(
        "residual in residual", 3, 5, 5,
        "{residual: [{conv: {filters: 3, kernel: 3, pad: 1}}, {residual: [relu, {conv: {filters: 3, kernel: 1}}]}]}, relu, "
        "{residual: [{conv: {filters: 3, kernel: 3, pad: 1}}, batchnorm]}",
        9, 9, 2),
    NET_CASE("residual vector", "7",
             "[{linear: 6}, {residual: [{linear: 6}, relu]}, {residual: [{linear: 5}, tanh, {linear: 4}]}, {linear: 3}]", 17,
             17, 2),
    NET_CASE("residual on the input", "3, 5, 5",
             "[{residual: [{conv: {filters: 3, kernel: 3, pad: 1}}]}, relu, flatten, {linear: 3}]", 6, 6, 1),
    NET_CASE("residual dropout", "8", "[{linear: 6}, {residual: [{linear: 6}, relu, {dropout: 0.5}]}, {linear: 3}]", 12, 11, 2),
    /* branches */
    NET_CASE_BETWEEN("branches", 3, 5, 5,
                     "{branches: [[{conv: {filters: 2, kernel: 1}}], [{conv: {filters: 5, kernel: 3, pad: 1}}, relu]]}", 6, 6,
                     1),
    NET_CASE_BETWEEN("branches inception", 5, 6, 5,
                     "{branches: [[{conv: {filters: 3, kernel: 1}}, relu], [{conv: {filters: 2, kernel: 1}}, relu, {conv: "
                     "{filters: 4, kernel: 3, pad: 1}}, relu], "
                     "[{conv: {filters: 1, kernel: 1}}, relu, {conv: {filters: 2, kernel: 5, pad: 2}}, relu], "
                     "[{maxpool: {window: 3, stride: 1, pad: 1}}, {conv: {filters: 3, kernel: 1}}, relu]]}",
                     17, 17, 2),
    NET_CASE_BETWEEN("branches with an empty one", 3, 4, 4,
                     "relu, {branches: [[], [{conv: {filters: 2, kernel: 3, pad: 1}}, tanh]]}", 18, 18, 3),
    NET_CASE_BETWEEN("branches in residual", 3, 4, 5,
                     "{residual: [{branches: [[{conv: {filters: 2, kernel: 1}}], [{conv: {filters: 1, kernel: 3, pad: 1}}]]}, "
                     "batchnorm]}, relu",
                     10, 10, 2),
    NET_CASE_BETWEEN("branches in branches", 2, 4, 4,
                     "{branches: [[{branches: [[relu], [sigmoid]]}, {conv: {filters: 2, kernel: 1}}], [{avgpool: {window: 3, "
                     "stride: 1, pad: 1}}]]}",
                     6, 6, 1),
    NET_CASE("branches on the input", "2, 4, 4",
             "[{branches: [[{conv: {filters: 2, kernel: 1}}], [tanh], []]}, flatten, {linear: 3}]", 6, 6, 1),
    NET_CASE("branches vector", "7", "[{linear: 6}, {branches: [[{linear: 4}, relu], [{linear: 5}, tanh]]}, {linear: 3}]", 17,
             17, 1),
    /* several inputs of a layer */
    NET_CASE("add of three", "7",
             "[{linear: 5, name: a}, {tanh: {}, name: b}, {linear: 5, from: input}, {add: {}, from: [a, b, linear2]}, relu, "
             "{linear: 3}]",
             17, 17, 2),
    NET_CASE("add of one twice", "7", "[{linear: 5, name: a}, {add: {}, from: [a, a]}, tanh, {linear: 3}]", 9, 9, 2),
    NET_CASE_BETWEEN("concat that skips", 3, 6, 5,
                     "{conv: {filters: 4, kernel: 3, pad: 1}, name: skip}, relu, {maxpool: {window: 3, stride: 1, pad: 1}}, "
                     "{concat: {}, from: [skip, maxpool1]}, {conv: {filters: 5, kernel: 3}}, relu",
                     17, 17, 2),
    NET_CASE(
        "multiply and add", "6",
        "[{linear: 5, name: x}, {linear: 5, name: y, from: input}, {linear: 5, name: z, from: input}, {multiply: {}, from: "
        "[x, y]}, {add: {}, from: [multiply1, z]}, {linear: 3}]",
        18, 17, 3),
    NET_CASE_BETWEEN(
        "multiply images", 5, 4, 5,
        "{sigmoid: {}, name: gate}, {conv: {filters: 5, kernel: 3, pad: 1}, from: conv1}, relu, {multiply: {}, from: "
        "[gate, relu1]}",
        8, 8, 2),
    NET_CASE("square", "6", "[{linear: 5, name: x}, {multiply: {}, from: [x, x]}, {linear: 3}]", 9, 9, 1),
    /* values of other dimensions than one and three */
    NET_CASE("two dimensions", "3, 5",
             "[batchnorm, {relu: {}, name: a}, {tanh: {}, from: a}, {add: {}, from: [a, tanh1]}, {dropout: 0.3}, flatten, "
             "{linear: 3}]",
             18, 17, 2),
    NET_CASE("four dimensions", "3, 2, 4, 3",
             "[{sigmoid: {}, name: a}, {batchnorm: {}, name: b}, {multiply: {}, from: [a, b]}, {concat: {}, from: [multiply1, "
             "input, b]}, batchnorm, gelu, flatten, {linear: 4}]",
             20, 18, 3),
    NET_CASE("six dimensions", "2, 3, 1, 2, 2, 2",
             "[{batchnorm: {}, name: a}, layernorm, {leaky_relu: 0.2}, {dropout: 0.25}, {add: {}, from: [a, dropout1]}, "
             "{branches: [[batchnorm, tanh], [relu], []]}, flatten, {linear: 3}]",
             17, 17, 2),
    NET_CASE_PIXELS("five dimensions of pixels", "2, 2, 3, 1, 3",
                    "[batchnorm, tanh, {residual: [layernorm, relu]}, flatten, {linear: 3}]", 12, 11, 2),
    NET_CASE_PIXELS("two dimensions of pixels", "4, 9", "[layernorm, relu, flatten, {linear: 3}]", 33, 30, 2),
    NET_CASE_LOSS("mse of two dimensions", "3, 5", "[batchnorm, tanh, {batchnorm: {}}]", 18, 17, 2, "mse", "[mse]", false),
    /* shared and transposed weights */
    NET_CASE("linear transposed", "19",
             "[{linear: {units: 7, transpose: true}}, relu, {linear: {units: 21, transpose: true}}, "
             "{linear: {units: 4, transpose: true, bias: false}}]",
             33, 30, 3),
    NET_CASE(
        "shared twice", "9",
        "[{linear: 6, name: left}, tanh, {tanh: {}, name: other, from: input}, {linear: 6, name: right, from: other, share: "
        "left}, {linear: 6, share: left, from: input}, {concat: {}, from: [tanh1, right, linear3]}, {linear: 4}]",
        20, 18, 3),
    NET_CASE("shared one after another", "6",
             "[{linear: 6}, tanh, {linear: 6, share: linear1}, tanh, {linear: 6, share: "
             "linear2}, relu, {linear: 3}]",
             17, 17, 2),
    NET_CASE("tied autoencoder", "12",
             "[{linear: 5, name: code}, sigmoid, {linear: {units: 12, transpose: true}, share: code.weight}, {linear: 4}]", 18,
             18, 2),
    NET_CASE_BETWEEN(
        "shared tower", 3, 6, 5,
        "{residual: [{conv: {filters: 3, kernel: 3, pad: 1}}, batchnorm, relu], name: left}, {tanh: {}, name: "
        "moved, from: conv1}, {residual: [{conv: {filters: 3, kernel: 3, pad: 1}}, batchnorm, relu], share: left}, "
        "{concat: {}, from: [left, residual2]}",
        18, 17, 2),
    /* frozen layers */
    NET_CASE("frozen first", "9", "[{linear: 8, freeze: true}, relu, {linear: 6}, tanh, {linear: 3}]", 17, 17, 2),
    NET_CASE("frozen between", "9", "[{linear: 8}, relu, {linear: 6, freeze: true}, tanh, {linear: 3}]", 17, 17, 2),
    NET_CASE("frozen last, transposed", "9", "[{linear: 8}, {linear: {units: 4, transpose: true}, freeze: true}]", 9, 9, 1),
    NET_CASE_BETWEEN("frozen conv and batchnorm", 3, 6, 5,
                     "{conv: {filters: 4, kernel: 3}, freeze: true}, {batchnorm: {}, freeze: true}, relu", 18, 17, 2),
    NET_CASE_BETWEEN("frozen residual", 3, 5, 5,
                     "{residual: [{conv: {filters: 5, kernel: 3, pad: 1}}, batchnorm, relu], freeze: true}, batchnorm", 9, 9,
                     2),
    NET_CASE("tied to a frozen weight", "12",
             "[{linear: 5, name: code, freeze: true}, sigmoid, {linear: {units: 12, transpose: true}, share: code.weight}, "
             "{linear: 4}]",
             18, 18, 2),
    /* whole networks in small, and shards */
    NET_CASE_PIXELS("lenet", "1, 12, 12",
                    "[{conv: {filters: 4, kernel: 3}}, {maxpool: {window: 2, stride: 2}}, {conv: {filters: 6, kernel: 2}}, "
                    "{maxpool: {window: 2, stride: 2}}, flatten, {linear: 15}, relu, {linear: 10}]",
                    12, 10, 3),
    NET_CASE("vgg", "3, 8, 8",
             "[{conv: {filters: 4, kernel: 3, pad: 1}}, relu, {conv: {filters: 4, kernel: 3, pad: 1}}, relu, {maxpool: "
             "{window: 2, stride: 2}}, "
             "{conv: {filters: 6, kernel: 3, pad: 1}}, relu, {maxpool: {window: 2, stride: 2}}, flatten, {linear: 12}, relu, "
             "{dropout: 0.5}, {linear: 5}]",
             18, 18, 2),
    NET_CASE_PIXELS("resnet", "3, 8, 8",
                    "[{conv: {filters: 4, kernel: 3, pad: 1, bias: false}}, batchnorm, relu, {residual: [{conv: {filters: 4, "
                    "kernel: 3, pad: 1, bias: false}}, batchnorm, relu, "
                    "{conv: {filters: 4, kernel: 3, pad: 1, bias: false}}, batchnorm]}, relu, {residual: [{conv: {filters: 6, "
                    "kernel: 3, stride: 2, pad: 1, bias: false}}, "
                    "batchnorm, relu, {conv: {filters: 6, kernel: 3, pad: 1, bias: false}}, batchnorm]}, relu, global_avgpool, "
                    "{linear: 5}]",
                    20, 20, 3),
    NET_CASE("shards with no sample", "3, 5, 5", "[{conv: {filters: 4, kernel: 3}}, batchnorm, relu, flatten, {linear: 3}]", 9,
             2, 3),
    NET_CASE("seven shards", "2, 5, 5",
             "[{conv: {filters: 3, kernel: 3}}, batchnorm, relu, flatten, {dropout: 0.5}, {linear: 3}]", 30, 27, 7),
    NET_CASE("one sample", "2, 5, 5", "[{conv: {filters: 3, kernel: 3}}, relu, flatten, {linear: 3}]", 1, 1, 1),
    /* losses and metrics */
    NET_CASE_LOSS("mse", "7", "[{linear: 6}, tanh, {linear: 5}]", 20, 19, 2, "mse", "[mse]", false),
    NET_CASE_LOSS("mse of an image", "2, 6, 5",
                  "[{conv: {filters: 3, kernel: 3, pad: 1}}, tanh, {conv: {filters: 2, kernel: 3}}]", 9, 9, 3, "mse", "[]",
                  false),
    NET_CASE_LOSS("huber", "7", "[{linear: 6}, tanh, {linear: 5}]", 20, 19, 2, "{huber: {delta: 0.3}}", "[mse, mae]", false),
    NET_CASE_LOSS("huber of an image of bytes", "2, 6, 5",
                  "[{conv: {filters: 3, kernel: 3, pad: 1}}, tanh, {conv: {filters: 2, kernel: 3}}]", 9, 9, 3,
                  "{huber: {weight: 2}}", "[mae]", true),
    NET_CASE_LOSS("binary cross-entropy", "9", "[{linear: 8}, relu, {linear: 5}]", 33, 30, 2, "binary_cross_entropy",
                  "[accuracy, mse]", false),
    NET_CASE_LOSS("binary cross-entropy of bytes", "9", "[{linear: 8}, tanh, {linear: 3}]", 18, 18, 2, "binary_cross_entropy",
                  "[accuracy]", true),
    {.name = "autoencoder of pixels",
     .input = "2, 3, 4",
     .layers = "[flatten, {linear: 5, name: code}, tanh, {linear: {units: 24, transpose: true}, share: code.weight}, sigmoid]",
     .loss = "{mse: {target: input}}",
     .metrics = "[mse]",
     .global_batch = 20,
     .samples = 18,
     .shards = 3,
     .pixels = true},
    {.name = "autoencoder of an image",
     .input = "2, 5, 4",
     .layers = "[{conv: {filters: 3, kernel: 3, pad: 1}}, relu, {conv: {filters: 2, kernel: 3, pad: 1}}]",
     .loss = "{binary_cross_entropy: {target: input}}",
     .metrics = "[accuracy]",
     .global_batch = 17,
     .samples = 17,
     .shards = 2,
     .pixels = true},
    NET_CASE_LOSS("penalties of activities", "9", "[{linear: 13}, tanh, {linear: 6}, relu, {linear: 5}]", 20, 18, 2,
                  "[cross_entropy, {activity_l1: {of: tanh1, weight: 0.5}}, {activity_l2: {of: linear2, weight: 0.25}}]", "[]",
                  false),
    NET_CASE_LOSS("sparse units", "9", "[{linear: 19}, sigmoid, {linear: 5}]", 37, 35, 3,
                  "[mse, {activity_kl: {of: sigmoid1, rho: 0.2, weight: 0.5}}]", "[]", false),
    NET_CASE_LOSS("sparse planes", "2, 6, 5",
                  "[{conv: {filters: 3, kernel: 3, pad: 1}}, sigmoid, {conv: {filters: 2, kernel: 3}}]", 20, 17, 2,
                  "[mse, {activity_kl: {of: sigmoid1}}, {activity_l1: {of: sigmoid1}}]", "[]", false),
    NET_CASE_LOSS("auxiliary classifier", "6", "[{linear: 8}, tanh, {linear: 4}, tanh, {linear: 4}]", 20, 18, 2,
                  "[cross_entropy, {cross_entropy: {of: linear2, weight: 0.3}}]",
                  "[accuracy, {accuracy: {of: linear2, name: early}}, "
                  "{accuracy: {of: tanh2, name: squashed}}, confusion]",
                  false),
    NET_CASE_LOSS("label smoothing", "6", "[{linear: 8}, tanh, {linear: 4}]", 20, 18, 2, "{cross_entropy: {smoothing: 0.2}}",
                  "[accuracy]", false),
    NET_CASE_LOSS("soft targets", "6", "[{linear: 8}, tanh, {linear: 35}]", 20, 19, 3,
                  "{cross_entropy: {soft: true, smoothing: 0.1, weight: 2}}", "[accuracy]", false),
    NET_CASE_LOSS("soft targets of bytes", "6", "[{linear: 8}, tanh, {linear: 4}]", 33, 33, 2, "{cross_entropy: {soft: true}}",
                  "[accuracy]", true),
    NET_CASE_LOSS("measures of classes", "6", "[{linear: 8}, tanh, {linear: 4}]", 20, 19, 3, "cross_entropy",
                  "[{top_k: 2}, precision, {recall: {class: 3}}, {f1: {average: weighted}}, {auc: {class: 1}}, perplexity]",
                  false),
    NET_CASE_LOSS("measures of labels", "6", "[{linear: 8}, tanh, {linear: 4}]", 20, 19, 3, "binary_cross_entropy",
                  "[precision, recall, f1]", false),
    NET_CASE_LOSS("measures of one label", "6", "[{linear: 8}, tanh, {linear: 1}]", 20, 19, 3, "binary_cross_entropy", "[auc]",
                  false),
    NET_CASE_LOSS("measures of a number", "6", "[{linear: 8}, tanh, {linear: 1}]", 20, 19, 3, "mse", "[r2]", false),
    NET_CASE_LOSS("two targets", "6", "[{linear: 8}, relu, {linear: 4}]", 12, 12, 3,
                  "[{cross_entropy: {weight: 2}}, {mse: {of: linear1, weight: 0.5}}]",
                  "[{mse: {of: linear1, target: target}}, confusion]", false),
};

const int net_case_count = sizeof net_cases / sizeof *net_cases;
