// Kernels with a planted mistake each, to show that the harness finds it: out[i] = a[i] + the sum of a over i's block of 256.
// BUG 0 none, 1 a write past the end, 2 a missing barrier, 3 a wrong tail, 4 never ends, 5 a write far outside.
#ifndef BUG
#define BUG 0
#endif

extern "C" __global__ void planted(float *out, const float *a, int n) {
  __shared__ float part[256];
  const int i = blockIdx.x * 256 + threadIdx.x;
  part[threadIdx.x] = 0.0f;
  __syncthreads();
  // Warps other than the first are late, so that a barrier left out shows every time.
  if (BUG == 2 && threadIdx.x >= 32) __nanosleep(20000);
  part[threadIdx.x] = i < n ? a[i] : 0.0f;
  if (BUG != 2) __syncthreads();
  float sum = 0.0f;
  for (int j = 0; j < 256; j++) sum += ((volatile float *)part)[j];
  if (BUG == 4)
    while (((volatile float *)part)[0] < 1e30f) __nanosleep(100);
  const int end = BUG == 3 ? n / 256 * 256 : n;
  if (i < end) out[i] = part[threadIdx.x] + sum;
  if (BUG == 1 && i == n - 1) out[n] = sum;
  if (BUG == 5 && i == n - 1) out[n + (64 << 20)] = sum;
}
