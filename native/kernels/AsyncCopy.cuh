// Hopper's asynchronous pieces in PTX: mbarriers, bulk tensor copies (TMA), cluster addressing, warpgroup registers.
// `barrier_wait(full, phase)` returns when the phase of parity `phase` has completed. PTX ISA 8.0, sections 9.7.9 and 9.7.13.
#pragma once
#include "Element.cuh"

struct alignas(64) TensorMap {
  u64 opaque[16];
};

__device__ __forceinline__ u32 shared_address(const void *p) { return (u32)__cvta_generic_to_shared(p); }

__device__ __forceinline__ bool elect_one() {
  u32 chosen;
  asm volatile("{\n.reg .pred p;\nelect.sync _|p, 0xffffffff;\nselp.u32 %0, 1, 0, p;\n}" : "=r"(chosen));
  return chosen != 0;
}

__device__ __forceinline__ void barrier_init(u32 barrier, u32 arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals));
}
__device__ __forceinline__ void barrier_init_fence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ __forceinline__ void barrier_expect(u32 barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
__device__ __forceinline__ void barrier_arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// Arrives at the same barrier of another block of the cluster.
__device__ __forceinline__ void barrier_arrive_at(u32 barrier, u32 block_rank) {
  asm volatile("{\n.reg .b32 remote;\nmapa.shared::cluster.u32 remote, %0, %1;\n"
               "mbarrier.arrive.shared::cluster.b64 _, [remote];\n}" ::"r"(barrier),
               "r"(block_rank)
               : "memory");
}
__device__ __forceinline__ void barrier_wait(u32 barrier, u32 phase) {
  asm volatile("{\n.reg .pred done;\nWAIT:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@done bra READY;\nbra WAIT;\n"
               "READY:\n}" ::"r"(barrier),
               "r"(phase)
               : "memory");
}

__device__ __forceinline__ void tensor_prefetch(const TensorMap *map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"((u64)map) : "memory");
}
__device__ __forceinline__ void tensor_load_3d(u32 to, const TensorMap *map, u32 barrier, int x, int y, int z) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(to),
               "l"((u64)map), "r"(barrier), "r"(x), "r"(y), "r"(z)
               : "memory");
}
__device__ __forceinline__ void tensor_load_3d_multicast(u32 to, const TensorMap *map, u32 barrier, int x, int y, int z, u16 blocks) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%4, %5, %6}], [%2], %3;" ::"r"(to),
               "l"((u64)map), "r"(barrier), "h"(blocks), "r"(x), "r"(y), "r"(z)
               : "memory");
}
__device__ __forceinline__ void tensor_load_4d(u32 to, const TensorMap *map, u32 barrier, int x, int y, int z, int w) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(to),
               "l"((u64)map), "r"(barrier), "r"(x), "r"(y), "r"(z), "r"(w)
               : "memory");
}
// NHWC pixels in im2col order from (n, h, w) on, one filter tap: channels [c, c + box), offsets in pixels.
__device__ __forceinline__ void tensor_load_im2col(u32 to, const TensorMap *map, u32 barrier, int c, int w, int h, int n, u16 offset_w, u16 offset_h) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::"r"(to),
               "l"((u64)map), "r"(barrier), "r"(c), "r"(w), "r"(h), "r"(n), "h"(offset_w), "h"(offset_h)
               : "memory");
}
__device__ __forceinline__ void tensor_load_im2col_multicast(u32 to, const TensorMap *map, u32 barrier, int c, int w, int h, int n, u16 offset_w, u16 offset_h, u16 blocks) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%4, %5, %6, %7}], [%2], {%8, %9}, %3;" ::"r"(to),
               "l"((u64)map), "r"(barrier), "h"(blocks), "r"(c), "r"(w), "r"(h), "r"(n), "h"(offset_w), "h"(offset_h)
               : "memory");
}
__device__ __forceinline__ void tensor_store_3d(const TensorMap *map, u32 from, int x, int y, int z) {
  asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"((u64)map), "r"(from), "r"(x), "r"(y), "r"(z)
               : "memory");
}
// Brings `bytes` (a multiple of 16, from a multiple of 16) into the L2.
__device__ __forceinline__ void bulk_prefetch(const void *from, u32 bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"((u64)from), "r"(bytes) : "memory");
}
__device__ __forceinline__ void store_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
// Until at most `Pending` of this thread's stores still read shared memory.
template <int Pending> __device__ __forceinline__ void store_wait_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(Pending) : "memory");
}
__device__ __forceinline__ void store_wait_all() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }
__device__ __forceinline__ void async_proxy_fence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

__device__ __forceinline__ u32 cluster_rank() {
  u32 r;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
  return r;
}
__device__ __forceinline__ void cluster_sync() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
// The blocks of a cluster wait for one another and no more: the fence of cluster_sync waits for everything that is under way (descriptors being
// fetched, results being written), 1,000 to 1,800 cycles at the beginning and the end of a kernel. Barriers' set-up has a fence of its own.
__device__ __forceinline__ void cluster_meet() {
  asm volatile("barrier.cluster.arrive.relaxed.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}
__device__ __forceinline__ u32 cluster_address(u32 address, u32 block_rank) {
  u32 r;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(address), "r"(block_rank));
  return r;
}
// `bytes` (a multiple of 16) from this block's shared memory to another's, counted by a barrier there.
__device__ __forceinline__ void cluster_copy(u32 to, u32 from, u32 bytes, u32 barrier) {
  asm volatile("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "r"(from), "r"(bytes), "r"(barrier) : "memory");
}
__device__ __forceinline__ void shared_store_float2(u32 address, float2 v) { asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(address), "f"(v.x), "f"(v.y) : "memory"); }
__device__ __forceinline__ float4 shared_load_float4(u32 address) {
  float4 r;
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(r.x), "=f"(r.y), "=f"(r.z), "=f"(r.w) : "r"(address));
  return r;
}

template <int Count> __device__ __forceinline__ void registers_give_up() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count)); }
template <int Count> __device__ __forceinline__ void registers_take() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count)); }
__device__ __forceinline__ void named_barrier(int id, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
__device__ __forceinline__ void named_barrier_arrive(int id, int threads) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory"); }

// Lets the next kernel of the stream start its prologue; waits for the kernel before. No effect without the launch attribute.
__device__ __forceinline__ void dependents_launch() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }
__device__ __forceinline__ void dependency_wait() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
