// Convolution for Hopper, forward, NHWC: D[pixel, k] = EPILOGUE(sum over taps and channels of X[pixel's window] * W[k, tap, c]).
//
//            filters: TILE_N (W as [k, tap, channel])
//          +----------------+      A's rows are output pixels in the order (image, row, column); the copy engine finds
//  pixels: | warpgroup 0    |      their windows (im2col mode: strides, dilation, zeros outside the image), one tap and
//  TILE_M  +----------------+      64 channels a slab. No im2col matrix exists anywhere.
//          | warpgroup 1    |      Everything after the loads is GemmSm90's: wgmma, pipelines, clusters that share loads,
//          +----------------+      SPLIT_K over taps and channels, PING_PONG, epilogue text, TMA stores.
//
// Types      INPUT f16 | bf16 -> OUTPUT f16 | bf16 | float.
// Needs      sm_90a; channels and filters multiples of 8; strides up to 8, padding up to 127, dilation * (filter - 1) up to 255;
//            groups: channels of a group a multiple of 64 (a narrower group would read its neighbour's), filters of a group of 8.
// Floor      2 * pixels * filters * taps * channels operations; image, weights and output moved once.
// Parameters as GemmSm90.cu. Legal set and what was tried: docs/kernels/conv-sm90.md.
// 1x1 convolutions of stride 1 are products: GemmSm90.cu takes them as they are.
#define CONVOLUTION 1
#ifndef KERNEL
#define KERNEL convolution
#endif
#include "PersistentSm90.cuh"
