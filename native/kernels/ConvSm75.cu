// Convolution for every tensor core from sm_75 on, NHWC, as an implicit GEMM: D[pixel, k] = EPILOGUE(sum of X's window * W[k]).
//
//   rows of A are output pixels (image, row, column), k is (filter row, filter column, channel): each thread walks its 16-byte
//   pieces through the taps, and what lies outside the image is zero. Tiles, products and stores are GemmSm75's.
//
// Types      as GemmSm75.cu.
// Layouts    X [images, h, w, channels], W [filters, taps, channels of a group], D [pixels, filters].
// Needs      channels of a group in multiples of 16 bytes, or ELEMENTWISE=1, which takes any; any stride, padding, dilation and
//            groups. TRANSPOSED=1: the gradient's direction, D[pixel] gathers the taps that reach it.
// Floor      2 * pixels * filters * taps * channels operations; image, weights and output moved once.
// Parameters as GemmSm75.cu. docs/kernels/conv-sm75.md.
#define CONVOLUTION 1
#ifndef KERNEL
#define KERNEL convolution75
#endif
#include "TiledSm75.cuh"
