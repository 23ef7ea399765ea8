// Waiting without blocking the event loop: one thread a process environment polls CUDA events and wakes JavaScript when they
// are done. Polling (not cuLaunchHostFunc) because a host function is never called once a context is broken, and a broken
// context must end the wait with its error.
#pragma once

#include <node_api.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "objects.h"

struct PendingWait {
  std::uint64_t id = 0;
  std::shared_ptr<PrimaryContext> primary;
  std::vector<cu::Event> events;
  cu::Result result = cu::success;
};

class Waiter {
 public:
  using Done = std::function<void(PendingWait)>;
  // `done` runs on the JavaScript thread.
  Waiter(napi_env env, Done done);
  ~Waiter();
  void add(PendingWait wait);
  // Takes a wait out; false when it has already been handed to `done`, or will be.
  bool cancel(std::uint64_t id, PendingWait& taken);

 private:
  static void deliver(napi_env env, napi_value callback, void* context, void* data);
  static void atEnvironmentEnd(void* self);
  void loop();
  void stop();

  napi_env env_;
  Done done_;
  napi_threadsafe_function wake_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<PendingWait> pending_;
  std::vector<PendingWait> finished_;
  std::size_t outstanding_ = 0;  // JavaScript thread only: keeps the process alive while > 0
  bool stopping_ = false;
  bool stopped_ = false;
  std::thread thread_;
};
