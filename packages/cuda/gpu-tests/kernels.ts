/**
 * The kernels of these tests. The `//! kernel` lines are for the stand-in driver (native/fake-driver), which reads nothing else.
 */

export const source = `
//! kernel empty
//! kernel fill 8 4 4
//! kernel slow
//! kernel hang 8
//! kernel crash 8 4
//! kernel cluster_rank 8
//! kernel tma_box 128 8 4 4
//! kernel chained 8 4
//! global table 64
extern "C" __device__ unsigned table[16];

extern "C" __global__ void empty() {}

extern "C" __global__ void fill(unsigned* out, unsigned count, unsigned value) {
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) out[i] = value;
}

extern "C" __global__ void slow() {
  for (long long start = clock64(); clock64() - start < 200000;) {}
}

// Never ends: the word it waits for stays zero.
extern "C" __global__ void hang(volatile unsigned* flag) {
  while (*flag == 0) {}
}

// Writes past the end of its buffer of count words.
extern "C" __global__ void crash(unsigned* out, unsigned count) { out[count + 1024 + threadIdx.x] = 1; }

extern "C" __global__ void cluster_rank(unsigned* out) {
#if __CUDA_ARCH__ >= 900
  unsigned rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  if (threadIdx.x == 0) out[blockIdx.x] = rank;
#endif
}

// out += value, starting before the launch before it has ended (programmatic dependent launch).
extern "C" __global__ void chained(unsigned* out, unsigned value) {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
  out[threadIdx.x] += value;
}

// One box of 8 rows of 32 floats, through a tensor map passed by value.
struct alignas(64) TensorMap { unsigned long long opaque[16]; };
extern "C" __global__ void tma_box(const __grid_constant__ TensorMap map, float* out, int x, int y) {
#if __CUDA_ARCH__ >= 900
  __shared__ alignas(128) float tile[8 * 32];
  __shared__ alignas(8) unsigned long long barrier;
  unsigned to = (unsigned)__cvta_generic_to_shared(tile), bar = (unsigned)__cvta_generic_to_shared(&barrier);
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(bar));
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 1024;" ::"r"(bar) : "memory");
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
                 ::"r"(to), "l"(&map), "r"(x), "r"(y), "r"(bar) : "memory");
  }
  __syncthreads();
  unsigned done = 0;
  while (done == 0)
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0; selp.u32 %0, 1, 0, p; }"
                 : "=r"(done) : "r"(bar) : "memory");
  for (unsigned i = threadIdx.x; i < 256; i += blockDim.x) out[i] = tile[i];
#endif
}
`

/** The architecture to compile for on a device of this compute capability. */
export const architecture = (computeCapability: number): string =>
  computeCapability === 90 ? "sm_90a" : `sm_${computeCapability}`
