#include "waiter.h"

#include <chrono>

#ifdef __linux__
#include <pthread.h>
#endif

Waiter::Waiter(napi_env env, Done done) : env_(env), done_(std::move(done)) {
  napi_value name;
  napi_create_string_utf8(env, "anneal CUDA wait", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, &Waiter::deliver, &wake_);
  napi_unref_threadsafe_function(env, wake_);
  // The environment frees the function above before it frees this object; hooks run last in, first out, so this one is in time.
  napi_add_env_cleanup_hook(env, &Waiter::atEnvironmentEnd, this);
  thread_ = std::thread([this] { loop(); });
#ifdef __linux__
  pthread_setname_np(thread_.native_handle(), "cuda-wait");
#endif
}

Waiter::~Waiter() {
  if (stopped_) return;
  napi_remove_env_cleanup_hook(env_, &Waiter::atEnvironmentEnd, this);
  stop();
}

void Waiter::atEnvironmentEnd(void* self) { static_cast<Waiter*>(self)->stop(); }

void Waiter::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  stopped_ = true;
  napi_release_threadsafe_function(wake_, napi_tsfn_abort);
}

void Waiter::add(PendingWait wait) {
  if (outstanding_++ == 0) napi_ref_threadsafe_function(env_, wake_);
  {
    std::lock_guard lock(mutex_);
    pending_.push_back(std::move(wait));
  }
  changed_.notify_one();
}

bool Waiter::cancel(std::uint64_t id, PendingWait& taken) {
  {
    std::lock_guard lock(mutex_);
    auto found = pending_.begin();
    while (found != pending_.end() && found->id != id) ++found;
    if (found == pending_.end()) return false;
    taken = std::move(*found);
    pending_.erase(found);
  }
  if (--outstanding_ == 0) napi_unref_threadsafe_function(env_, wake_);
  return true;
}

void Waiter::deliver(napi_env env, napi_value, void* context, void*) {
  if (env == nullptr) return;
  auto& self = *static_cast<Waiter*>(context);
  std::vector<PendingWait> finished;
  {
    std::lock_guard lock(self.mutex_);
    finished.swap(self.finished_);
  }
  for (auto& wait : finished) {
    if (--self.outstanding_ == 0) napi_unref_threadsafe_function(env, self.wake_);
    self.done_(std::move(wait));
  }
}

void Waiter::loop() {
  using clock = std::chrono::steady_clock;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (pending_.empty()) {
      // Waits often follow each other: for a little while it is cheaper to look again than to be woken.
      const auto idleSince = clock::now();
      while (!stopping_ && pending_.empty() && clock::now() - idleSince < std::chrono::microseconds(50)) {
        lock.unlock();
        std::this_thread::yield();
        lock.lock();
      }
      changed_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
    }
    auto lastChange = clock::now();
    while (!stopping_ && !pending_.empty()) {
      bool any = false;
      for (std::size_t i = 0; i < pending_.size();) {
        PendingWait& wait = pending_[i];
        const Driver& driver = *wait.primary->driver;
        cu::Result result = driver.ctxSetCurrent(wait.primary->handle);
        while (result == cu::success && !wait.events.empty()) {
          result = driver.eventQuery(wait.events.back());
          if (result == cu::success) wait.events.pop_back();
        }
        if (result == cu::errorNotReady) {
          i++;
          continue;
        }
        wait.result = result;
        finished_.push_back(std::move(wait));
        pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i));
        any = true;
      }
      if (any) {
        lastChange = clock::now();
        lock.unlock();
        napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking);
        lock.lock();
        continue;
      }
      // Short work is met by spinning, long work by sleeping a small part of its own length.
      const auto waited = clock::now() - lastChange;
      lock.unlock();
      if (waited < std::chrono::microseconds(100))
        std::this_thread::yield();
      else
        std::this_thread::sleep_for(waited < std::chrono::milliseconds(5)   ? std::chrono::microseconds(20)
                                    : waited < std::chrono::milliseconds(50) ? std::chrono::microseconds(100)
                                                                             : std::chrono::microseconds(500));
      lock.lock();
    }
  }
}
