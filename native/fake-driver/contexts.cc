// Initialisation, devices, contexts, streams, events.
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "fake.h"

namespace fake {
State& state() {
  static State* const only = new State;  // outlives every thread that may still poll
  return *only;
}
Context*& current() {
  static thread_local Context* context = nullptr;
  return context;
}
cu::Result ready(Context*& context) {
  if (!state().initialised) return errorNotInitialized;
  context = current();
  if (context == nullptr || context->retained == 0) return errorInvalidContext;
  return context->broken;
}
cu::Result charge(Context* context, std::size_t bytes) {
  if (bytes > deviceBytes - context->used) return cu::errorOutOfMemory;
  context->used += bytes;
  return cu::success;
}
static double now() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
static bool done(Stream* stream) {
  if (stream->busyPolls > 0) stream->busyPolls--;
  return stream->busyPolls == 0;
}
}  // namespace fake
using namespace fake;

FAKE_API cu::Result cuInit(unsigned) {
  std::lock_guard lock(state().mutex);
  if (!state().initialised) {
    const char* count = std::getenv("FAKE_CUDA_DEVICES");
    state().devices.resize(count != nullptr ? std::size_t(std::atoi(count)) : 2);
    for (std::size_t i = 0; i < state().devices.size(); i++) state().devices[i].ordinal = int(i);
    state().initialised = true;
  }
  return cu::success;
}
FAKE_API cu::Result cuDriverGetVersion(int* version) {
  *version = 13000;
  return cu::success;
}
FAKE_API cu::Result cuGetErrorName(cu::Result result, const char** name) {
  static const std::map<int, const char*> names = {
      {0, "CUDA_SUCCESS"}, {1, "CUDA_ERROR_INVALID_VALUE"}, {2, "CUDA_ERROR_OUT_OF_MEMORY"},
      {3, "CUDA_ERROR_NOT_INITIALIZED"}, {101, "CUDA_ERROR_INVALID_DEVICE"}, {200, "CUDA_ERROR_INVALID_IMAGE"},
      {201, "CUDA_ERROR_INVALID_CONTEXT"}, {400, "CUDA_ERROR_INVALID_HANDLE"}, {500, "CUDA_ERROR_NOT_FOUND"},
      {600, "CUDA_ERROR_NOT_READY"}, {700, "CUDA_ERROR_ILLEGAL_ADDRESS"},
      {712, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED"}, {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
      {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"}};
  auto found = names.find(result);
  *name = found == names.end() ? nullptr : found->second;
  return found == names.end() ? cu::errorInvalidValue : cu::success;
}
FAKE_API cu::Result cuGetErrorString(cu::Result result, const char** text) {
  *text = result == cu::errorOutOfMemory ? "out of memory" : "the stand-in driver refused the call";
  return cu::success;
}
FAKE_API cu::Result cuDeviceGetCount(int* count) {
  *count = int(state().devices.size());
  return cu::success;
}
FAKE_API cu::Result cuDeviceGet(cu::Device* device, int ordinal) {
  if (ordinal < 0 || std::size_t(ordinal) >= state().devices.size()) return errorInvalidDevice;
  *device = ordinal;
  return cu::success;
}
FAKE_API cu::Result cuDeviceGetName(char* name, int length, cu::Device) {
  std::strncpy(name, "Stand-in device", std::size_t(length));
  return cu::success;
}
FAKE_API cu::Result cuDeviceGetUuid_v2(cu::Uuid* uuid, cu::Device device) {
  std::memset(uuid, 0, sizeof *uuid);
  uuid->bytes[15] = static_cast<unsigned char>(device);
  return cu::success;
}
FAKE_API cu::Result cuDeviceTotalMem_v2(std::size_t* bytes, cu::Device) {
  *bytes = deviceBytes;
  return cu::success;
}
FAKE_API cu::Result cuDeviceGetAttribute(int* value, int attribute, cu::Device) {
  static const std::map<int, int> values = {{1, 1024}, {8, 49152},  {10, 32},   {12, 65536}, {16, 132},  {38, 52428800},
                                            {39, 2048}, {75, 9},    {76, 0},    {81, 233472}, {82, 65536}, {97, 232448},
                                            {102, 1},  {115, 1},   {120, 1},   {127, 1}};
  auto found = values.find(attribute);
  if (found == values.end()) return cu::errorInvalidValue;
  *value = found->second;
  return cu::success;
}
FAKE_API cu::Result cuDevicePrimaryCtxRetain(cu::Context* out, cu::Device device) {
  std::lock_guard lock(state().mutex);
  if (!state().initialised) return errorNotInitialized;
  Context& context = state().devices[std::size_t(device)];
  context.retained++;
  *out = reinterpret_cast<cu::Context>(&context);
  return cu::success;
}
FAKE_API cu::Result cuDevicePrimaryCtxRelease_v2(cu::Device device) {
  std::lock_guard lock(state().mutex);
  Context& context = state().devices[std::size_t(device)];
  if (context.retained == 0) return errorInvalidContext;
  if (--context.retained == 0) context.broken = cu::success;
  return cu::success;
}
FAKE_API cu::Result cuCtxSetCurrent(cu::Context context) {
  current() = reinterpret_cast<Context*>(context);
  return cu::success;
}
FAKE_API cu::Result cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  FAKE_ENTER();
  *free = deviceBytes - context->used;
  *total = deviceBytes;
  return cu::success;
}

FAKE_API cu::Result cuStreamCreateWithPriority(cu::Stream* out, unsigned, int) {
  FAKE_ENTER();
  return keep(new Stream{context}, out);
}
FAKE_API cu::Result cuStreamDestroy_v2(cu::Stream handle) {
  std::lock_guard lock(state().mutex);
  return drop(live<Stream>(handle));
}
FAKE_API cu::Result cuStreamQuery(cu::Stream handle) {
  FAKE_ENTER();
  auto* stream = live<Stream>(handle);
  if (stream == nullptr) return errorInvalidHandle;
  if (stream->capture != nullptr) return errorCaptureUnsupported;
  return done(stream) ? cu::success : cu::errorNotReady;
}
FAKE_API cu::Result cuStreamWaitEvent(cu::Stream handle, cu::Event eventHandle, unsigned) {
  FAKE_ENTER();
  auto* stream = live<Stream>(handle);
  auto* event = live<Event>(eventHandle);
  if (stream == nullptr || event == nullptr) return errorInvalidHandle;
  const bool capturing = event->capture != nullptr && event->stream->capture == event->capture;
  if (capturing && stream->capture == nullptr) {
    stream->capture = event->capture;
    event->capture->streams.push_back(stream);
  }
  return cu::success;
}
FAKE_API cu::Result cuEventCreate(cu::Event* out, unsigned) {
  FAKE_ENTER();
  return keep(new Event{context}, out);
}
FAKE_API cu::Result cuEventDestroy_v2(cu::Event handle) {
  std::lock_guard lock(state().mutex);
  return drop(live<Event>(handle));
}
FAKE_API cu::Result cuEventRecord(cu::Event handle, cu::Stream streamHandle) {
  FAKE_ENTER();
  auto* event = live<Event>(handle);
  auto* stream = live<Stream>(streamHandle);
  if (event == nullptr || stream == nullptr) return errorInvalidHandle;
  event->stream = stream;
  event->recorded = true;
  event->at = now();
  event->capture = stream->capture;
  return cu::success;
}
FAKE_API cu::Result cuEventQuery(cu::Event handle) {
  FAKE_ENTER();
  auto* event = live<Event>(handle);
  if (event == nullptr) return errorInvalidHandle;
  if (!event->recorded || state().live.count(event->stream) == 0) return cu::success;
  return done(event->stream) ? cu::success : cu::errorNotReady;
}
FAKE_API cu::Result cuEventElapsedTime(float* milliseconds, cu::Event startHandle, cu::Event endHandle) {
  FAKE_ENTER();
  auto* start = live<Event>(startHandle);
  auto* end = live<Event>(endHandle);
  if (start == nullptr || end == nullptr || !start->recorded || !end->recorded) return errorInvalidHandle;
  *milliseconds = float(end->at - start->at);
  return cu::success;
}
