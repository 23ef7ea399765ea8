// Written by generate-wgmma.ts; don't edit. Included once for each kind of product, with these macros set before:
//   MMA_NAME            name of the wrapper's struct, MMA_NAME<N>::shared or ::registers
//   MMA_SHAPE_TYPES     "k16.f32.f16.f16" and so on
//   MMA_ACC             float or int
//   MMA_FROM_REGISTERS  1 where A comes from registers
//   MMA_TAIL_SHARED, MMA_TAIL_REGISTERS  the scale and transpose immediates, ", 1, 1, 0, 0"

#undef ACC
#define ACC MMA_ACC_OPERAND
template <int N> struct MMA_NAME;
#if MMA_FROM_REGISTERS
template <> struct MMA_NAME<8> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[4], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %9, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n8" MMA_SHAPE_TYPES " {%0, %1, %2, %3}, {%4, %5, %6, %7}, %8, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<16> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[8], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %13, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n16" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7}, {%8, %9, %10, %11}, %12, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<24> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[12], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %17, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n24" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11}, {%12, %13, %14, %15}, %16, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<32> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[16], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %21, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n32" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, {%16, %17, %18, %19}, %20, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<40> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[20], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %25, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n40" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19}, {%20, %21, %22, %23}, %24, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<48> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[24], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %29, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n48" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23}, {%24, %25, %26, %27}, %28, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<64> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[32], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, {%32, %33, %34, %35}, %36, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<80> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[40], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %45, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n80" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39}, {%40, %41, %42, %43}, %44, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<96> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[48], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %53, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n96" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47}, {%48, %49, %50, %51}, %52, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<112> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[56], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %61, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n112" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55}, {%56, %57, %58, %59}, %60, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<128> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[64], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n128" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, {%64, %65, %66, %67}, %68, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<144> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[72], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %77, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n144" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71}, {%72, %73, %74, %75}, %76, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63]), ACC(d[64]), ACC(d[65]), ACC(d[66]), ACC(d[67]), ACC(d[68]), ACC(d[69]), ACC(d[70]), ACC(d[71])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<160> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[80], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %85, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n160" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79}, {%80, %81, %82, %83}, %84, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63]), ACC(d[64]), ACC(d[65]), ACC(d[66]), ACC(d[67]), ACC(d[68]), ACC(d[69]), ACC(d[70]), ACC(d[71]), ACC(d[72]), ACC(d[73]), ACC(d[74]), ACC(d[75]), ACC(d[76]), ACC(d[77]), ACC(d[78]), ACC(d[79])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<176> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[88], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %93, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n176" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87}, {%88, %89, %90, %91}, %92, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63]), ACC(d[64]), ACC(d[65]), ACC(d[66]), ACC(d[67]), ACC(d[68]), ACC(d[69]), ACC(d[70]), ACC(d[71]), ACC(d[72]), ACC(d[73]), ACC(d[74]), ACC(d[75]), ACC(d[76]), ACC(d[77]), ACC(d[78]), ACC(d[79]), ACC(d[80]), ACC(d[81]), ACC(d[82]), ACC(d[83]), ACC(d[84]), ACC(d[85]), ACC(d[86]), ACC(d[87])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<192> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[96], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %101, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n192" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95}, {%96, %97, %98, %99}, %100, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63]), ACC(d[64]), ACC(d[65]), ACC(d[66]), ACC(d[67]), ACC(d[68]), ACC(d[69]), ACC(d[70]), ACC(d[71]), ACC(d[72]), ACC(d[73]), ACC(d[74]), ACC(d[75]), ACC(d[76]), ACC(d[77]), ACC(d[78]), ACC(d[79]), ACC(d[80]), ACC(d[81]), ACC(d[82]), ACC(d[83]), ACC(d[84]), ACC(d[85]), ACC(d[86]), ACC(d[87]), ACC(d[88]), ACC(d[89]), ACC(d[90]), ACC(d[91]), ACC(d[92]), ACC(d[93]), ACC(d[94]), ACC(d[95])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<208> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[104], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %109, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n208" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103}, {%104, %105, %106, %107}, %108, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63]), ACC(d[64]), ACC(d[65]), ACC(d[66]), ACC(d[67]), ACC(d[68]), ACC(d[69]), ACC(d[70]), ACC(d[71]), ACC(d[72]), ACC(d[73]), ACC(d[74]), ACC(d[75]), ACC(d[76]), ACC(d[77]), ACC(d[78]), ACC(d[79]), ACC(d[80]), ACC(d[81]), ACC(d[82]), ACC(d[83]), ACC(d[84]), ACC(d[85]), ACC(d[86]), ACC(d[87]), ACC(d[88]), ACC(d[89]), ACC(d[90]), ACC(d[91]), ACC(d[92]), ACC(d[93]), ACC(d[94]), ACC(d[95]), ACC(d[96]), ACC(d[97]), ACC(d[98]), ACC(d[99]), ACC(d[100]), ACC(d[101]), ACC(d[102]), ACC(d[103])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<224> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[112], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %117, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n224" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111}, {%112, %113, %114, %115}, %116, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63]), ACC(d[64]), ACC(d[65]), ACC(d[66]), ACC(d[67]), ACC(d[68]), ACC(d[69]), ACC(d[70]), ACC(d[71]), ACC(d[72]), ACC(d[73]), ACC(d[74]), ACC(d[75]), ACC(d[76]), ACC(d[77]), ACC(d[78]), ACC(d[79]), ACC(d[80]), ACC(d[81]), ACC(d[82]), ACC(d[83]), ACC(d[84]), ACC(d[85]), ACC(d[86]), ACC(d[87]), ACC(d[88]), ACC(d[89]), ACC(d[90]), ACC(d[91]), ACC(d[92]), ACC(d[93]), ACC(d[94]), ACC(d[95]), ACC(d[96]), ACC(d[97]), ACC(d[98]), ACC(d[99]), ACC(d[100]), ACC(d[101]), ACC(d[102]), ACC(d[103]), ACC(d[104]), ACC(d[105]), ACC(d[106]), ACC(d[107]), ACC(d[108]), ACC(d[109]), ACC(d[110]), ACC(d[111])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<256> {
  static __device__ __forceinline__ void registers(MMA_ACC (&d)[128], const u32 (&a)[4], u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %133, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n256" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, {%128, %129, %130, %131}, %132, p" MMA_TAIL_REGISTERS ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63]), ACC(d[64]), ACC(d[65]), ACC(d[66]), ACC(d[67]), ACC(d[68]), ACC(d[69]), ACC(d[70]), ACC(d[71]), ACC(d[72]), ACC(d[73]), ACC(d[74]), ACC(d[75]), ACC(d[76]), ACC(d[77]), ACC(d[78]), ACC(d[79]), ACC(d[80]), ACC(d[81]), ACC(d[82]), ACC(d[83]), ACC(d[84]), ACC(d[85]), ACC(d[86]), ACC(d[87]), ACC(d[88]), ACC(d[89]), ACC(d[90]), ACC(d[91]), ACC(d[92]), ACC(d[93]), ACC(d[94]), ACC(d[95]), ACC(d[96]), ACC(d[97]), ACC(d[98]), ACC(d[99]), ACC(d[100]), ACC(d[101]), ACC(d[102]), ACC(d[103]), ACC(d[104]), ACC(d[105]), ACC(d[106]), ACC(d[107]), ACC(d[108]), ACC(d[109]), ACC(d[110]), ACC(d[111]), ACC(d[112]), ACC(d[113]), ACC(d[114]), ACC(d[115]), ACC(d[116]), ACC(d[117]), ACC(d[118]), ACC(d[119]), ACC(d[120]), ACC(d[121]), ACC(d[122]), ACC(d[123]), ACC(d[124]), ACC(d[125]), ACC(d[126]), ACC(d[127])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
  }
};
#else
template <> struct MMA_NAME<8> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[4], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %6, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n8" MMA_SHAPE_TYPES " {%0, %1, %2, %3}, %4, %5, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<16> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[8], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %10, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n16" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7}, %8, %9, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<24> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[12], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %14, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n24" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11}, %12, %13, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<32> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[16], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %18, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n32" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, %16, %17, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<40> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[20], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %22, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n40" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19}, %20, %21, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<48> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[24], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %26, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n48" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23}, %24, %25, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<64> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[32], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, %32, %33, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<80> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[40], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %42, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n80" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39}, %40, %41, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<96> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[48], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %50, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n96" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47}, %48, %49, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<112> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[56], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %58, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n112" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55}, %56, %57, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<128> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[64], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n128" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, %64, %65, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<144> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[72], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %74, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n144" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71}, %72, %73, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63]), ACC(d[64]), ACC(d[65]), ACC(d[66]), ACC(d[67]), ACC(d[68]), ACC(d[69]), ACC(d[70]), ACC(d[71])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<160> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[80], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %82, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n160" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79}, %80, %81, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63]), ACC(d[64]), ACC(d[65]), ACC(d[66]), ACC(d[67]), ACC(d[68]), ACC(d[69]), ACC(d[70]), ACC(d[71]), ACC(d[72]), ACC(d[73]), ACC(d[74]), ACC(d[75]), ACC(d[76]), ACC(d[77]), ACC(d[78]), ACC(d[79])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<176> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[88], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %90, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n176" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87}, %88, %89, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63]), ACC(d[64]), ACC(d[65]), ACC(d[66]), ACC(d[67]), ACC(d[68]), ACC(d[69]), ACC(d[70]), ACC(d[71]), ACC(d[72]), ACC(d[73]), ACC(d[74]), ACC(d[75]), ACC(d[76]), ACC(d[77]), ACC(d[78]), ACC(d[79]), ACC(d[80]), ACC(d[81]), ACC(d[82]), ACC(d[83]), ACC(d[84]), ACC(d[85]), ACC(d[86]), ACC(d[87])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<192> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[96], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %98, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n192" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95}, %96, %97, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63]), ACC(d[64]), ACC(d[65]), ACC(d[66]), ACC(d[67]), ACC(d[68]), ACC(d[69]), ACC(d[70]), ACC(d[71]), ACC(d[72]), ACC(d[73]), ACC(d[74]), ACC(d[75]), ACC(d[76]), ACC(d[77]), ACC(d[78]), ACC(d[79]), ACC(d[80]), ACC(d[81]), ACC(d[82]), ACC(d[83]), ACC(d[84]), ACC(d[85]), ACC(d[86]), ACC(d[87]), ACC(d[88]), ACC(d[89]), ACC(d[90]), ACC(d[91]), ACC(d[92]), ACC(d[93]), ACC(d[94]), ACC(d[95])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<208> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[104], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %106, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n208" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103}, %104, %105, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63]), ACC(d[64]), ACC(d[65]), ACC(d[66]), ACC(d[67]), ACC(d[68]), ACC(d[69]), ACC(d[70]), ACC(d[71]), ACC(d[72]), ACC(d[73]), ACC(d[74]), ACC(d[75]), ACC(d[76]), ACC(d[77]), ACC(d[78]), ACC(d[79]), ACC(d[80]), ACC(d[81]), ACC(d[82]), ACC(d[83]), ACC(d[84]), ACC(d[85]), ACC(d[86]), ACC(d[87]), ACC(d[88]), ACC(d[89]), ACC(d[90]), ACC(d[91]), ACC(d[92]), ACC(d[93]), ACC(d[94]), ACC(d[95]), ACC(d[96]), ACC(d[97]), ACC(d[98]), ACC(d[99]), ACC(d[100]), ACC(d[101]), ACC(d[102]), ACC(d[103])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<224> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[112], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %114, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n224" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111}, %112, %113, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63]), ACC(d[64]), ACC(d[65]), ACC(d[66]), ACC(d[67]), ACC(d[68]), ACC(d[69]), ACC(d[70]), ACC(d[71]), ACC(d[72]), ACC(d[73]), ACC(d[74]), ACC(d[75]), ACC(d[76]), ACC(d[77]), ACC(d[78]), ACC(d[79]), ACC(d[80]), ACC(d[81]), ACC(d[82]), ACC(d[83]), ACC(d[84]), ACC(d[85]), ACC(d[86]), ACC(d[87]), ACC(d[88]), ACC(d[89]), ACC(d[90]), ACC(d[91]), ACC(d[92]), ACC(d[93]), ACC(d[94]), ACC(d[95]), ACC(d[96]), ACC(d[97]), ACC(d[98]), ACC(d[99]), ACC(d[100]), ACC(d[101]), ACC(d[102]), ACC(d[103]), ACC(d[104]), ACC(d[105]), ACC(d[106]), ACC(d[107]), ACC(d[108]), ACC(d[109]), ACC(d[110]), ACC(d[111])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<256> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[128], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n256" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, %128, %129, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59]), ACC(d[60]), ACC(d[61]), ACC(d[62]), ACC(d[63]), ACC(d[64]), ACC(d[65]), ACC(d[66]), ACC(d[67]), ACC(d[68]), ACC(d[69]), ACC(d[70]), ACC(d[71]), ACC(d[72]), ACC(d[73]), ACC(d[74]), ACC(d[75]), ACC(d[76]), ACC(d[77]), ACC(d[78]), ACC(d[79]), ACC(d[80]), ACC(d[81]), ACC(d[82]), ACC(d[83]), ACC(d[84]), ACC(d[85]), ACC(d[86]), ACC(d[87]), ACC(d[88]), ACC(d[89]), ACC(d[90]), ACC(d[91]), ACC(d[92]), ACC(d[93]), ACC(d[94]), ACC(d[95]), ACC(d[96]), ACC(d[97]), ACC(d[98]), ACC(d[99]), ACC(d[100]), ACC(d[101]), ACC(d[102]), ACC(d[103]), ACC(d[104]), ACC(d[105]), ACC(d[106]), ACC(d[107]), ACC(d[108]), ACC(d[109]), ACC(d[110]), ACC(d[111]), ACC(d[112]), ACC(d[113]), ACC(d[114]), ACC(d[115]), ACC(d[116]), ACC(d[117]), ACC(d[118]), ACC(d[119]), ACC(d[120]), ACC(d[121]), ACC(d[122]), ACC(d[123]), ACC(d[124]), ACC(d[125]), ACC(d[126]), ACC(d[127])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
#if SWAPPED
template <> struct MMA_NAME<56> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[28], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %30, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n56" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27}, %28, %29, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<72> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[36], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %38, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n72" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35}, %36, %37, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<88> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[44], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %46, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n88" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43}, %44, %45, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<104> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[52], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %54, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n104" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51}, %52, %53, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
template <> struct MMA_NAME<120> {
  static __device__ __forceinline__ void shared(MMA_ACC (&d)[60], u64 a, u64 b, u32 accumulate) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %62, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n120" MMA_SHAPE_TYPES " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59}, %60, %61, p" MMA_TAIL_SHARED ";\n}"
                 : ACC(d[0]), ACC(d[1]), ACC(d[2]), ACC(d[3]), ACC(d[4]), ACC(d[5]), ACC(d[6]), ACC(d[7]), ACC(d[8]), ACC(d[9]), ACC(d[10]), ACC(d[11]), ACC(d[12]), ACC(d[13]), ACC(d[14]), ACC(d[15]), ACC(d[16]), ACC(d[17]), ACC(d[18]), ACC(d[19]), ACC(d[20]), ACC(d[21]), ACC(d[22]), ACC(d[23]), ACC(d[24]), ACC(d[25]), ACC(d[26]), ACC(d[27]), ACC(d[28]), ACC(d[29]), ACC(d[30]), ACC(d[31]), ACC(d[32]), ACC(d[33]), ACC(d[34]), ACC(d[35]), ACC(d[36]), ACC(d[37]), ACC(d[38]), ACC(d[39]), ACC(d[40]), ACC(d[41]), ACC(d[42]), ACC(d[43]), ACC(d[44]), ACC(d[45]), ACC(d[46]), ACC(d[47]), ACC(d[48]), ACC(d[49]), ACC(d[50]), ACC(d[51]), ACC(d[52]), ACC(d[53]), ACC(d[54]), ACC(d[55]), ACC(d[56]), ACC(d[57]), ACC(d[58]), ACC(d[59])
                 : "l"(a), "l"(b), "r"(accumulate));
  }
};
#endif
#endif
#undef ACC
#undef MMA_NAME
#undef MMA_SHAPE_TYPES
#undef MMA_ACC
#undef MMA_ACC_OPERAND
#undef MMA_FROM_REGISTERS
#undef MMA_TAIL_SHARED
#undef MMA_TAIL_REGISTERS
