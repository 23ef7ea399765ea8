// Streams, events, waiting, and what the device has finished with.
#include <algorithm>

#include "addon.h"

Napi::Value Instance::createStream(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "create a stream");
  auto& context = table_.get<ContextObject>(arguments.integer(0, "context"), arguments.doing());
  const int priority = arguments.signedInteger(1, "priority");
  enter(context, arguments.doing());
  auto object = std::make_unique<StreamObject>();
  CUDA_CALL(driver(arguments.doing()), streamCreate, arguments.doing(), &object->handle, cu::streamNonBlocking, priority);
  object->context = object->parent = context.id;
  return Napi::Number::New(info.Env(), double(table_.insert(std::move(object))));
}

Napi::Value Instance::destroyStream(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "destroy a stream");
  auto& object = stream(arguments.integer(0, "stream"), arguments.doing());
  enter(object, arguments.doing());
  if (object.capture != nullptr) throw Failure(busy, arguments.doing(), "the stream is being captured");
  if (driver(arguments.doing()).streamQuery(object.handle) == cu::errorNotReady)
    throw Failure(busy, arguments.doing(), "the stream still has work: wait for it first");
  auto owned = table_.remove(object, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), streamDestroy, arguments.doing(), static_cast<StreamObject&>(*owned).handle);
  return info.Env().Undefined();
}

Napi::Value Instance::streamIdle(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "ask whether a stream is idle");
  auto& object = stream(arguments.integer(0, "stream"), arguments.doing());
  enter(object, arguments.doing());
  const std::uint64_t submitted = object.submitted;
  const cu::Result result = driver(arguments.doing()).streamQuery(object.handle);
  if (result == cu::errorNotReady) return Napi::Boolean::New(info.Env(), false);
  if (result != cu::success) throw driver(arguments.doing()).failure(result, DriverNames::streamQuery, arguments.doing());
  object.completed = submitted;
  return Napi::Boolean::New(info.Env(), true);
}

// --- What the device may still be doing ---------------------------------------------------------------------------------

void Instance::use(StreamObject& stream, Object& object) {
  if (stream.capture != nullptr) return;  // recorded in the capture; used at a replay
  for (Use& use : object.uses)
    if (use.stream == stream.id) {
      use.stamp = stream.submitted;
      return;
    }
  object.uses.push_back({stream.id, stream.submitted});
}

std::vector<Use> Instance::unfinished(Object& object) {
  std::vector<Use> open;
  auto collect = [&](Object& used) {
    std::erase_if(used.uses, [&](const Use& use) {
      auto* stream = static_cast<StreamObject*>(table_.find(use.stream));
      if (stream == nullptr || use.stamp <= stream->completed) return true;
      const std::uint64_t submitted = stream->submitted;
      if (stream->capture == nullptr && driver_->streamQuery(stream->handle) != cu::errorNotReady) {
        stream->completed = submitted;  // idle, or broken: nothing of it runs any more
        return true;
      }
      open.push_back(use);
      return false;
    });
  };
  collect(object);
  std::erase_if(object.graphs, [&](Handle handle) {
    Object* graph = table_.find(handle);
    if (graph == nullptr) return true;
    collect(*graph);
    return false;
  });
  return open;
}

void Instance::requireSettled(Object& object, const std::string& doing) {
  if (!unfinished(object).empty())
    throw Failure(busy, doing,
                  std::string("the device may still be using this ") + kindName(object.kind) + ": wait until it has settled");
}

cu::Event Instance::spareEvent(ContextObject& context, const char* doing) {
  if (!context.spareEvents.empty()) {
    cu::Event event = context.spareEvents.back();
    context.spareEvents.pop_back();
    return event;
  }
  cu::Event event = nullptr;
  CUDA_CALL(driver(doing), eventCreate, doing, &event, cu::eventDisableTiming);
  return event;
}

// Returns { id, done }: `done` is a promise of true, or of false when the wait was cancelled.
Napi::Object Instance::startWait(Napi::Env env, ContextObject& context, const std::vector<Use>& uses, Object* pinned,
                                 const char* doing) {
  ActiveWait wait{Napi::Promise::Deferred(env), context.id, 0, {}, {}, doing};
  auto result = Napi::Object::New(env);
  result.Set("id", double(nextWait_));
  result.Set("done", wait.deferred.Promise());
  try {
    for (const Use& use : uses) {
      auto& target = stream(use.stream, doing);
      if (target.capture != nullptr) throw Failure(busy, doing, "the stream is being captured: nothing of it runs yet");
      cu::Event event = spareEvent(context, doing);
      wait.events.push_back(event);
      CUDA_CALL(driver(doing), eventRecord, doing, event, target.handle);
      wait.reached.push_back({target.id, target.submitted});
    }
  } catch (...) {
    for (cu::Event event : wait.events) context.spareEvents.push_back(event);
    throw;
  }
  if (wait.events.empty()) {
    wait.deferred.Resolve(Napi::Boolean::New(env, true));
    return result;
  }
  PendingWait pending;
  pending.id = nextWait_++;
  pending.primary = context.primary;
  pending.events = wait.events;
  if (pinned != nullptr) {
    pinned->pins++;
    wait.pinned = pinned->id;
  }
  context.pins++;
  const std::uint64_t id = pending.id;
  waits_.emplace(id, std::move(wait));
  waiter_->add(std::move(pending));
  return result;
}

void Instance::finishWait(PendingWait pending) {
  Napi::HandleScope scope(env_);
  auto found = waits_.find(pending.id);
  if (found == waits_.end()) return;
  ActiveWait wait = std::move(found->second);
  waits_.erase(found);
  if (auto* context = static_cast<ContextObject*>(table_.find(wait.context)); context != nullptr) {
    context->pins--;
    for (cu::Event event : wait.events) context->spareEvents.push_back(event);
  }
  if (Object* pinned = table_.find(wait.pinned); pinned != nullptr) pinned->pins--;
  if (pending.result == cu::success)
    for (const Use& use : wait.reached)
      if (auto* stream = static_cast<StreamObject*>(table_.find(use.stream)); stream != nullptr)
        stream->completed = std::max(stream->completed, use.stamp);
  if (pending.result == cu::success)
    wait.deferred.Resolve(Napi::Boolean::New(env_, true));
  else
    wait.deferred.Reject(toError(env_, driver_->failure(pending.result, DriverNames::eventQuery, wait.doing)).Value());
}

Napi::Value Instance::waitStream(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "wait for a stream");
  auto& object = stream(arguments.integer(0, "stream"), arguments.doing());
  auto& context = enter(object, arguments.doing());
  return startWait(info.Env(), context, {{object.id, object.submitted}}, &object, arguments.doing());
}

// A promise that what the device is doing with an object now has ended.
Napi::Value Instance::settled(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "wait until the device has finished with an object");
  Object* object = table_.find(arguments.integer(0, "handle"));
  if (object == nullptr) throw Failure(staleHandle, arguments.doing(), "the object is not alive");
  auto& context = enter(*object, arguments.doing());
  return startWait(info.Env(), context, unfinished(*object), object, arguments.doing());
}

Napi::Value Instance::cancelWait(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "cancel a wait");
  const std::uint64_t id = arguments.integer(0, "id");
  PendingWait taken;
  auto found = waits_.find(id);
  if (found == waits_.end() || !waiter_->cancel(id, taken)) return Napi::Boolean::New(info.Env(), false);
  ActiveWait wait = std::move(found->second);
  waits_.erase(found);
  if (auto* context = static_cast<ContextObject*>(table_.find(wait.context)); context != nullptr) {
    context->pins--;
    for (cu::Event event : wait.events) context->spareEvents.push_back(event);
  }
  if (Object* pinned = table_.find(wait.pinned); pinned != nullptr) pinned->pins--;
  wait.deferred.Resolve(Napi::Boolean::New(info.Env(), false));
  return Napi::Boolean::New(info.Env(), true);
}

// --- Events -------------------------------------------------------------------------------------------------------------

Napi::Value Instance::createEvent(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "create an event");
  auto& context = table_.get<ContextObject>(arguments.integer(0, "context"), arguments.doing());
  auto object = std::make_unique<EventObject>();
  object->timing = arguments.boolean(1, "timing");
  enter(context, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), eventCreate, arguments.doing(), &object->handle,
            object->timing ? 0u : cu::eventDisableTiming);
  object->context = object->parent = context.id;
  return Napi::Number::New(info.Env(), double(table_.insert(std::move(object))));
}

Napi::Value Instance::destroyEvent(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "destroy an event");
  auto& object = table_.get<EventObject>(arguments.integer(0, "event"), arguments.doing());
  enter(object, arguments.doing());
  auto owned = table_.remove(object, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), eventDestroy, arguments.doing(), static_cast<EventObject&>(*owned).handle);
  return info.Env().Undefined();
}

Napi::Value Instance::recordEvent(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "record an event");
  auto& event = table_.get<EventObject>(arguments.integer(0, "event"), arguments.doing());
  auto& target = stream(arguments.integer(1, "stream"), arguments.doing());
  sameDevice(event, target, arguments.doing());
  enter(target, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), eventRecord, arguments.doing(), event.handle, target.handle);
  event.capture = target.capture;
  submitted(target);
  return info.Env().Undefined();
}

Napi::Value Instance::waitEvent(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "make a stream wait for an event");
  auto& target = stream(arguments.integer(0, "stream"), arguments.doing());
  auto& event = table_.get<EventObject>(arguments.integer(1, "event"), arguments.doing());
  sameDevice(target, event, arguments.doing());
  enter(target, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), streamWaitEvent, arguments.doing(), target.handle, event.handle, 0u);
  // A stream that waits for an event of a capture joins that capture.
  if (auto capture = event.capture.lock(); capture != nullptr && target.capture == nullptr) {
    capture->streams.push_back(target.id);
    target.capture = std::move(capture);
  }
  submitted(target);
  return info.Env().Undefined();
}

Napi::Value Instance::eventDone(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "ask whether an event has happened");
  auto& event = table_.get<EventObject>(arguments.integer(0, "event"), arguments.doing());
  enter(event, arguments.doing());
  const cu::Result result = driver(arguments.doing()).eventQuery(event.handle);
  if (result != cu::success && result != cu::errorNotReady)
    throw driver(arguments.doing()).failure(result, DriverNames::eventQuery, arguments.doing());
  return Napi::Boolean::New(info.Env(), result == cu::success);
}

// Milliseconds between two events that have happened.
Napi::Value Instance::elapsed(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "read the time between two events");
  auto& start = table_.get<EventObject>(arguments.integer(0, "start"), arguments.doing());
  auto& end = table_.get<EventObject>(arguments.integer(1, "end"), arguments.doing());
  sameDevice(start, end, arguments.doing());
  if (!start.timing || !end.timing) throw Failure(badArgument, arguments.doing(), "both events must be made with timing");
  enter(start, arguments.doing());
  float milliseconds = 0;
  CUDA_CALL(driver(arguments.doing()), eventElapsedTime, arguments.doing(), &milliseconds, start.handle, end.handle);
  return Napi::Number::New(info.Env(), double(milliseconds));
}
