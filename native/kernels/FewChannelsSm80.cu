// Convolution of images with 1 to 4 channels, a network's first layer, NHWC: D[pixel, k] = EPILOGUE(sum of X's window * W[k]).
//
//   block: TILE_P rows x 16 columns of output pixels, TILE_N filters; persistent, W stays in shared memory
//     the window's part of one image row, FILTER_W * CHANNELS elements, is contiguous: k = (row, element), each row filled up
//     to an even length, so 7 x 7 x 3 is 10 steps of mma.m16n8k16 where padding the channels to 8 would make 25
//     the image patch lies in shared memory as it is; a lane reads its A fragments from there as 32-bit words (twice shifted
//     copies where a pixel step is odd); results go out through shared memory as whole 16-byte pieces
//
// Types      INPUT f16 | bf16 for image, weights and output; float sums.
// Layouts    X [images, h, w, CHANNELS], W [filters, FILTER_H, FILTER_W, CHANNELS], D [pixels, filters].
// Needs      sm_80+; filters a multiple of 8; D, W on 16 bytes; any image size and padding.
// Floor      image read once and output written once: with few channels the output is most of it.
// Parameters CHANNELS, FILTER_H, FILTER_W, STRIDE, WARPS (TILE_P = 2 * WARPS), TILE_N, BLOCKS_PER_SM. docs/kernels/conv-sm90.md.
#include "Epilogue.cuh"

#ifndef INPUT
#define INPUT f16
#endif
#ifndef CHANNELS
#define CHANNELS 3
#endif
#ifndef FILTER_H
#define FILTER_H 7
#endif
#ifndef FILTER_W
#define FILTER_W 7
#endif
#ifndef STRIDE
#define STRIDE 2
#endif
#ifndef WARPS
#define WARPS 8
#endif
#ifndef TILE_N
#define TILE_N 64
#endif
#ifndef BLOCKS_PER_SM
#define BLOCKS_PER_SM 2
#endif

constexpr int kLine = FILTER_W * CHANNELS, kPairs = (kLine + 1) / 2, kWords = FILTER_H * kPairs;
constexpr int kSteps = (kWords + 7) / 8;
constexpr int kTileP = 2 * WARPS, kTileQ = 16, kThreads = 32 * WARPS;
constexpr int kPixelStep = STRIDE * CHANNELS;
constexpr int kCopies = kPixelStep % 2 ? 2 : 1;
constexpr int kPatchRows = (kTileP - 1) * STRIDE + FILTER_H;
constexpr int kPatchWords = ((kTileQ - 1) * kPixelStep + kLine + 2) / 2;
// An odd number of words a row, so that the two rows of a warp differ in banks.
constexpr int kPitch = kPatchWords | 1;
constexpr int kWeightPitch = 16 * (2 * kSteps + 1); // bytes; odd in 16-byte units: ldmatrix without conflicts
constexpr int kStagePitch = TILE_N * 2 + 16;
static_assert(CHANNELS >= 1 && CHANNELS <= 4 && TILE_N % 16 == 0, "few channels, whole ldmatrix quads");

struct FewChannelsShape {
  int images, h, w, p, q, filters, pad_h, pad_w;
  int tiles_p, tiles_q, tiles, unused;
  const void *x, *weights;
  void *d;
  EpilogueInputs inputs;
};

__device__ __forceinline__ void mma(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  if constexpr (__is_same(INPUT, bf16))
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS_PER_SM) few_channels(const __grid_constant__ FewChannelsShape s) {
  __shared__ alignas(16) u32 patch[kCopies][kPatchRows * kPitch];
  __shared__ alignas(16) char weights[TILE_N * kWeightPitch];
  __shared__ alignas(16) char stage[WARPS][16 * kStagePitch];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, quad = lane % 4;
  const int n0 = blockIdx.y * TILE_N;
  const u16 *w_bits = (const u16 *)s.weights;
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
  for (int i = threadIdx.x; i < TILE_N * kSteps * 16; i += kThreads) {
    const int n = i / (kSteps * 16), kk = i % (kSteps * 16), word = kk / 2, r = word / kPairs, e = word % kPairs * 2 + kk % 2;
    const bool is = word < kWords && e < kLine && n0 + n < s.filters;
    *(u16 *)(weights + n * kWeightPitch + kk * 2) = is ? w_bits[((long long)(n0 + n) * FILTER_H + r) * kLine + e] : (u16)0;
  }
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
  // Where this lane's two words of each step lie, from its pixel's first word on; the last element of an odd row is no one's.
  int offset[kSteps][2];
  u32 odd_bits = 0;
#pragma unroll
  for (int step = 0; step < kSteps; step++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int word = step * 8 + half * 4 + quad;
      const bool is = word < kWords;
      offset[step][half] = is ? word / kPairs * kPitch + word % kPairs : 0;
      if (kLine % 2 && (word % kPairs == kPairs - 1)) odd_bits |= 1u << ((step * 2 + half) % 32);
    }
  static_assert(kSteps * 2 <= 32 || kLine % 2 == 0, "a bit a word");
  const u32 weight_at = (u32)__cvta_generic_to_shared(weights) + (lane % 8 + lane / 16 * 8) * kWeightPitch + lane / 8 % 2 * 16;

  for (int t = blockIdx.x; t < s.tiles; t += gridDim.x) {
    const int of_image = s.tiles_p * s.tiles_q, image = t / of_image, in_image = t - image * of_image;
    const int p0 = in_image / s.tiles_q * kTileP, q0 = in_image % s.tiles_q * kTileQ;
    const u16 *x = (const u16 *)s.x + (long long)image * s.h * s.w * CHANNELS;
    const int first_row = p0 * STRIDE - s.pad_h, first_element = (q0 * STRIDE - s.pad_w) * CHANNELS;
    __syncthreads();
    for (int i = threadIdx.x; i < kPatchRows * kPatchWords; i += kThreads) {
      const int r = i / kPatchWords, word = i - r * kPatchWords, row = first_row + r, e = first_element + 2 * word;
      const bool in_row = row >= 0 && row < s.h;
      const u16 *from = x + (long long)row * s.w * CHANNELS + e;
      const int width = s.w * CHANNELS;
      const u32 a = in_row && e >= 0 && e < width ? from[0] : 0, b = in_row && e + 1 >= 0 && e + 1 < width ? from[1] : 0;
      patch[0][r * kPitch + word] = a | b << 16;
      if (kCopies > 1) {
        const u32 c = in_row && e + 2 >= 0 && e + 2 < width ? from[2] : 0;
        patch[kCopies - 1][r * kPitch + word] = b | c << 16;
      }
    }
    __syncthreads();
    // The warp's two rows of 16 pixels: lane g holds pixels g and g + 8.
    float d[2][TILE_N / 8][4];
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int j = 0; j < TILE_N / 8; j++) d[i][j][0] = d[i][j][1] = d[i][j][2] = d[i][j][3] = 0.0f;
    const u32 *at[2][2];
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int h = 0; h < 2; h++) {
        const int e = (g + 8 * h) * kPixelStep;
        at[i][h] = patch[kCopies > 1 ? e % 2 : 0] + (warp * 2 + i) * STRIDE * kPitch + e / 2;
      }
#pragma unroll
    for (int step = 0; step < kSteps; step++) {
      u32 a[2][4];
#pragma unroll
      for (int half = 0; half < 2; half++) {
        u32 keep = ~0u;
        if (kLine % 2) keep = ~0u >> (16 * (odd_bits >> ((step * 2 + half) % 32) & 1));
        if (step * 8 + half * 4 + 3 >= kWords && step * 8 + half * 4 + quad >= kWords) keep = 0;
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
          for (int h = 0; h < 2; h++) a[i][half * 2 + h] = at[i][h][offset[step][half]] & keep;
      }
#pragma unroll
      for (int j = 0; j < TILE_N / 16; j++) {
        u32 b[4];
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
                     : "r"(weight_at + j * 16 * kWeightPitch + step * 32));
#pragma unroll
        for (int i = 0; i < 2; i++) mma(d[i][2 * j], a[i], b[0], b[1]), mma(d[i][2 * j + 1], a[i], b[2], b[3]);
      }
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int p = p0 + warp * 2 + i;
      const long long pixel0 = ((long long)image * s.p + p) * s.q + q0;
      const int columns = p < s.p ? min(kTileQ, s.q - q0) : 0;
#pragma unroll
      for (int j = 0; j < TILE_N / 8; j++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
          const int of_tile = g + 8 * h, column = n0 + j * 8 + quad * 2;
          const long long pixel = pixel0 + of_tile;
          const float2 v = epilogue_pair(make_float2(d[i][j][2 * h], d[i][j][2 * h + 1]), (int)pixel, column, 0, pixel * s.filters + column, of_tile < columns, s.filters, true, s.inputs);
          *(u32 *)(stage[warp] + of_tile * kStagePitch + (j * 8 + quad * 2) * 2) = pack2<INPUT>(v.x, v.y);
        }
      __syncwarp();
      constexpr int kPieces = TILE_N / 8;
#pragma unroll
      for (int piece = lane; piece < 16 * kPieces; piece += 32) {
        const int of_tile = piece / kPieces, c = piece % kPieces * 8;
        if (of_tile < columns && n0 + c < s.filters)
          *(uint4 *)((u16 *)s.d + (pixel0 + of_tile) * s.filters + n0 + c) = *(const uint4 *)(stage[warp] + of_tile * kStagePitch + c * 2);
      }
      __syncwarp();
    }
  }
}
