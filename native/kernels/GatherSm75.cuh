// Where the 16-byte pieces of a tile's rows come from: rows of a matrix, or the windows of an image's pixels (implicit GEMM).
//
//   rows.piece(i, slab)  ⇒  the address of piece (row i, this thread's 16 bytes) of a slab of k, and whether it exists
//
// A thread keeps its place in k and steps it by a slab at a time; pieces whose elements are not whole and aligned
// (ELEMENTWISE=1: a row length or a number of channels that is no multiple of 16 bytes) are gathered element by element.
#pragma once
#include "Element.cuh"

// A matrix whose rows lie along k.
template <class T> struct MatrixRows {
  const T *base;
  long long stride; // of rows, in elements
  int rows, k;

  template <int Count> struct Place {
    const T *at[Count];
    bool inside[Count];
    int k_at;
  };
  template <int Count> __device__ __forceinline__ void start(Place<Count> &p, int first_row, int row_step, int k_at) const {
#pragma unroll
    for (int i = 0; i < Count; i++) {
      const int row = first_row + i * row_step;
      p.inside[i] = row < rows;
      p.at[i] = base + (p.inside[i] ? row : 0) * stride;
    }
    p.k_at = k_at;
  }
  template <int Count> __device__ __forceinline__ void step(Place<Count> &p, int by) const { p.k_at += by; }
  template <int Count> __device__ __forceinline__ const T *piece(const Place<Count> &p, int i, bool &is) const {
    is = p.inside[i] && p.k_at < k;
    return is ? p.at[i] + p.k_at : base;
  }
  template <int Count> __device__ __forceinline__ T element(const Place<Count> &p, int i, int e) const {
    return p.inside[i] && p.k_at + e < k ? p.at[i][p.k_at + e] : T{};
  }
};

struct ImageShape {
  int h, w, c, group_c; // of the input; channels of one group
  int q, pixels;        // output columns, and output pixels of one image
  int filter_h, filter_w, stride, pad_h, pad_w, dilation;
};

// Output pixels of NHWC images as rows whose k is (filter row, filter column, channel of the group). TRANSPOSED gathers as
// well: an output pixel takes the taps whose distance is a multiple of the stride.
template <class T, bool Transposed> struct ImageRows {
  const T *base; // at the group's first channel
  ImageShape s;
  int rows;

  template <int Count> struct Place {
    long long image[Count];
    int h0[Count], w0[Count];
    int c, tap_w, tap_h;
  };
  template <int Count> __device__ __forceinline__ void start(Place<Count> &p, int first_row, int row_step, int k_at) const {
#pragma unroll
    for (int i = 0; i < Count; i++) {
      const int row = first_row + i * row_step, n = row / s.pixels, in_image = row - n * s.pixels, ph = in_image / s.q, pw = in_image - ph * s.q;
      p.image[i] = (long long)n * s.h * s.w * s.c;
      p.h0[i] = Transposed ? ph + s.pad_h : ph * s.stride - s.pad_h;
      p.w0[i] = Transposed ? pw + s.pad_w : pw * s.stride - s.pad_w;
      if (row >= rows) p.h0[i] = Transposed ? -(1 << 28) : 1 << 28; // never inside
    }
    const int tap = k_at / s.group_c;
    p.c = k_at - tap * s.group_c, p.tap_h = tap / s.filter_w, p.tap_w = tap - p.tap_h * s.filter_w;
  }
  __device__ __forceinline__ void walk(int &c, int &tap_w, int &tap_h, int by) const {
    c += by;
    while (c >= s.group_c) {
      c -= s.group_c;
      if (++tap_w == s.filter_w) tap_w = 0, tap_h++;
    }
  }
  template <int Count> __device__ __forceinline__ void step(Place<Count> &p, int by) const { walk(p.c, p.tap_w, p.tap_h, by); }
  template <int Count> __device__ __forceinline__ const T *find(const Place<Count> &p, int i, int c, int tap_w, int tap_h, bool &is) const {
    int h = p.h0[i], w = p.w0[i];
    is = tap_h < s.filter_h;
    if (Transposed) {
      h -= tap_h * s.dilation, w -= tap_w * s.dilation;
      const int hs = h / s.stride, ws = w / s.stride;
      is = is && h >= 0 && w >= 0 && hs * s.stride == h && ws * s.stride == w;
      h = hs, w = ws;
    } else {
      h += tap_h * s.dilation, w += tap_w * s.dilation;
    }
    is = is && h >= 0 && w >= 0 && h < s.h && w < s.w;
    return is ? base + p.image[i] + ((long long)h * s.w + w) * s.c + c : base;
  }
  template <int Count> __device__ __forceinline__ const T *piece(const Place<Count> &p, int i, bool &is) const { return find(p, i, p.c, p.tap_w, p.tap_h, is); }
  template <int Count> __device__ __forceinline__ T element(const Place<Count> &p, int i, int e) const {
    int c = p.c, tap_w = p.tap_w, tap_h = p.tap_h;
    walk(c, tap_w, tap_h, e);
    bool is;
    const T *from = find(p, i, c, tap_w, tap_h, is);
    return is ? *from : T{};
  }
};
