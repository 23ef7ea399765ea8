// Tensor-core pieces of every architecture from sm_75 on: ldmatrix, mma.sync on 32 bytes of k, copies into shared memory.
// `mma_step<f16>(sums, a, b)` adds 16 x 8 products over 32 bytes of k: one instruction, or the sm_75 instructions that make it.
// Fragments of all types have the same bytes, so what loads them need not know the type. PTX ISA 8.0, section 9.7.14.
#pragma once
#include "Element.cuh"

typedef float tf32;

__device__ __forceinline__ void load_fragments(u32 (&r)[4], u32 at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at));
}

#define MMA_OPERANDS(c, d) c(d[0]), c(d[1]), c(d[2]), c(d[3])
template <class Input, class Accumulator> __device__ __forceinline__ void mma_step(Accumulator (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#define MMA_SYNC(text, c)                                                                                                           \
  asm volatile("mma.sync.aligned." text " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" : c(d[0]), c(d[1]), c(d[2]), c(d[3]) \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))
#if __CUDA_ARCH__ >= 800
  if constexpr (__is_same(Input, f16)) MMA_SYNC("m16n8k16.row.col.f32.f16.f16.f32", "+f");
  if constexpr (__is_same(Input, bf16)) MMA_SYNC("m16n8k16.row.col.f32.bf16.bf16.f32", "+f");
  if constexpr (__is_same(Input, float)) MMA_SYNC("m16n8k8.row.col.f32.tf32.tf32.f32", "+f");
  if constexpr (__is_same(Input, s8)) MMA_SYNC("m16n8k32.row.col.s32.s8.s8.s32", "+r");
#if __CUDA_ARCH__ >= 890
  if constexpr (__is_same(Input, e4m3)) MMA_SYNC("m16n8k32.row.col.f32.e4m3.e4m3.f32", "+f");
  if constexpr (__is_same(Input, e5m2)) MMA_SYNC("m16n8k32.row.col.f32.e5m2.e5m2.f32", "+f");
#endif
#else
  if constexpr (__is_same(Input, f16)) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};" : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(b0));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};" : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[2]), "r"(a[3]), "r"(b1));
  }
  if constexpr (__is_same(Input, s8)) {
#define MMA_SYNC_8(x, y, p, q) asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};" : "+r"(x), "+r"(y) : "r"(p), "r"(q))
    MMA_SYNC_8(d[0], d[1], a[0], b0);
    MMA_SYNC_8(d[0], d[1], a[2], b1);
    MMA_SYNC_8(d[2], d[3], a[1], b0);
    MMA_SYNC_8(d[2], d[3], a[3], b1);
#undef MMA_SYNC_8
  }
#endif
#undef MMA_SYNC
}
#undef MMA_OPERANDS

// 16 bytes into shared memory without a register, zeros where not `inside`. sm_80 on.
__device__ __forceinline__ void copy_async(u32 to, const void *from, bool inside) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"((u64)from), "r"(inside ? 16 : 0) : "memory");
#endif
}
__device__ __forceinline__ void copy_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int Pending> __device__ __forceinline__ void copy_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#endif
}
__device__ __forceinline__ void shared_store(u32 to, uint4 v) {
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}
