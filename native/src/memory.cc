// Device memory: pools, and buffers that are plain, stream-ordered or between guard pages.
#include "addon.h"

std::string bytesText(std::uint64_t bytes) { return std::to_string(bytes) + " bytes"; }

static std::size_t roundUp(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

// --- Pools ----------------------------------------------------------------------------------------------------------------

Napi::Value Instance::createPool(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "create a memory pool");
  auto& context = table_.get<ContextObject>(arguments.integer(0, "context"), arguments.doing());
  std::uint64_t keep = arguments.integer(1, "keepBytes");
  const std::uint64_t limit = arguments.integer(2, "maxBytes");
  enter(context, arguments.doing());
  cu::MemPoolProps props{};
  props.allocType = 1;
  props.location = {1, context.primary->device};
  props.maxSize = limit;
  auto object = std::make_unique<PoolObject>();
  const Driver& cuda = driver(arguments.doing());
  CUDA_CALL(cuda, memPoolCreate, arguments.doing(), &object->handle, &props);
  if (cu::Result result = cuda.memPoolSetAttribute(object->handle, cu::poolReleaseThreshold, &keep); result != cu::success) {
    cuda.memPoolDestroy(object->handle);
    throw cuda.failure(result, DriverNames::memPoolSetAttribute, arguments.doing());
  }
  object->context = object->parent = context.id;
  return Napi::Number::New(info.Env(), double(table_.insert(std::move(object))));
}

Napi::Value Instance::destroyPool(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "destroy a memory pool");
  auto& pool = table_.get<PoolObject>(arguments.integer(0, "pool"), arguments.doing());
  enter(pool, arguments.doing());
  auto owned = table_.remove(pool, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), memPoolDestroy, arguments.doing(), static_cast<PoolObject&>(*owned).handle);
  return info.Env().Undefined();
}

// The pool's { reserved, used } bytes; given a context instead of a pool, the device's default pool.
static cu::Pool poolOf(const Driver& cuda, HandleTable& table, Handle handle, const char* doing) {
  Object* object = table.find(handle);
  if (object != nullptr && object->kind == Kind::Context) {
    cu::Pool pool = nullptr;
    CUDA_CALL(cuda, deviceGetDefaultMemPool, doing, &pool, static_cast<ContextObject*>(object)->primary->device);
    return pool;
  }
  return table.get<PoolObject>(handle, doing).handle;
}

Napi::Value Instance::poolInfo(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "read a memory pool's use");
  const Driver& cuda = driver(arguments.doing());
  cu::Pool pool = poolOf(cuda, table_, arguments.integer(0, "pool"), arguments.doing());
  std::uint64_t reserved = 0, used = 0;
  CUDA_CALL(cuda, memPoolGetAttribute, arguments.doing(), pool, cu::poolReservedCurrent, &reserved);
  CUDA_CALL(cuda, memPoolGetAttribute, arguments.doing(), pool, cu::poolUsedCurrent, &used);
  auto result = Napi::Object::New(info.Env());
  result.Set("reserved", double(reserved));
  result.Set("used", double(used));
  return result;
}

Napi::Value Instance::trimPool(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "trim a memory pool");
  const Driver& cuda = driver(arguments.doing());
  cu::Pool pool = poolOf(cuda, table_, arguments.integer(0, "pool"), arguments.doing());
  CUDA_CALL(cuda, memPoolTrimTo, arguments.doing(), pool, std::size_t(arguments.integer(1, "keepBytes")));
  return info.Env().Undefined();
}

// --- Device memory --------------------------------------------------------------------------------------------------------

Napi::Value Instance::allocate(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "allocate device memory");
  auto& context = table_.get<ContextObject>(arguments.integer(0, "context"), arguments.doing());
  const std::uint64_t bytes = arguments.integer(1, "bytes");
  if (bytes == 0) arguments.refuse("bytes must be at least 1");
  enter(context, arguments.doing());
  auto object = std::make_unique<MemoryObject>();
  object->bytes = bytes;
  object->context = object->parent = context.id;
  CUDA_CALL(driver(arguments.doing()), memAlloc, "allocate " + bytesText(bytes), &object->address, std::size_t(bytes));
  return Napi::Number::New(info.Env(), double(table_.insert(std::move(object))));
}

Napi::Value Instance::allocateOn(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "allocate device memory in stream order");
  auto& target = stream(arguments.integer(0, "stream"), arguments.doing());
  const std::uint64_t bytes = arguments.integer(1, "bytes");
  const Handle poolHandle = arguments.integer(2, "pool");
  if (bytes == 0) arguments.refuse("bytes must be at least 1");
  if (target.capture != nullptr)
    throw Failure(busy, arguments.doing(), "the stream is being captured: allocate before the capture begins");
  const std::string doing = "allocate " + bytesText(bytes) + " in stream order";
  enter(target, arguments.doing());
  auto object = std::make_unique<MemoryObject>();
  object->origin = MemoryOrigin::StreamOrdered;
  object->bytes = bytes;
  object->context = target.context;
  object->parent = target.id;
  const Driver& cuda = driver(arguments.doing());
  if (poolHandle == 0) {
    CUDA_CALL(cuda, memAllocAsync, doing, &object->address, std::size_t(bytes), target.handle);
  } else {
    auto& pool = table_.get<PoolObject>(poolHandle, arguments.doing());
    sameDevice(pool, target, arguments.doing());
    CUDA_CALL(cuda, memAllocFromPoolAsync, doing, &object->address, std::size_t(bytes), pool.handle, target.handle);
    pool.children++;
    object->pool = pool.id;
  }
  submitted(target);
  return Napi::Number::New(info.Env(), double(table_.insert(std::move(object))));
}

// Memory with an unmapped page on each side. `atEnd` puts the last byte against the page after it (up to `alignment`), so
// that a write past the end faults; otherwise the first byte is against the page before it.
Napi::Value Instance::allocateGuarded(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "allocate device memory between guard pages");
  auto& context = table_.get<ContextObject>(arguments.integer(0, "context"), arguments.doing());
  const std::uint64_t bytes = arguments.integer(1, "bytes");
  const bool atEnd = arguments.boolean(2, "atEnd");
  const std::uint64_t alignment = arguments.integer(3, "alignment");
  if (bytes == 0) arguments.refuse("bytes must be at least 1");
  if (alignment == 0 || (alignment & (alignment - 1)) != 0) arguments.refuse("alignment must be a power of two");
  const std::string doing = "allocate " + bytesText(bytes) + " between guard pages";
  enter(context, arguments.doing());
  const Driver& cuda = driver(arguments.doing());

  cu::MemAllocationProp prop{};
  prop.type = 1;
  prop.location = {1, context.primary->device};
  std::size_t page = 0;
  CUDA_CALL(cuda, memGetAllocationGranularity, doing, &page, &prop, 0);
  auto object = std::make_unique<MemoryObject>();
  object->origin = MemoryOrigin::Guarded;
  object->bytes = bytes;
  object->context = object->parent = context.id;
  object->mappedBytes = roundUp(bytes, page);
  object->reservedBytes = object->mappedBytes + 2 * page;
  try {
    CUDA_CALL(cuda, memAddressReserve, doing, &object->reserved, object->reservedBytes, page, cu::DevicePtr{0}, 0ull);
    CUDA_CALL(cuda, memCreate, doing, &object->physical, object->mappedBytes, &prop, 0ull);
    CUDA_CALL(cuda, memMap, doing, object->reserved + page, object->mappedBytes, std::size_t{0}, object->physical, 0ull);
    object->mapped = object->reserved + page;
    const cu::MemAccessDesc access{{1, context.primary->device}, 3};
    CUDA_CALL(cuda, memSetAccess, doing, object->mapped, object->mappedBytes, &access, std::size_t{1});
  } catch (const Failure&) {
    if (object->mapped != 0) cuda.memUnmap(object->mapped, object->mappedBytes);
    if (object->physical != 0) cuda.memRelease(object->physical);
    if (object->reserved != 0) cuda.memAddressFree(object->reserved, object->reservedBytes);
    throw;
  }
  object->address = atEnd ? (object->mapped + object->mappedBytes - bytes) & ~cu::DevicePtr(alignment - 1) : object->mapped;
  return Napi::Number::New(info.Env(), double(table_.insert(std::move(object))));
}

// Gives the memory back to the driver. `alive` is false while the whole environment is being taken down.
void Instance::releaseMemory(MemoryObject& memory, bool alive, const char* doing) {
  const Driver& cuda = *driver_;
  switch (memory.origin) {
    case MemoryOrigin::Plain:
      CUDA_CALL(cuda, memFree, doing, memory.address);
      return;
    case MemoryOrigin::StreamOrdered: {
      auto* owner = static_cast<StreamObject*>(table_.find(memory.parent));
      if (owner == nullptr) return;
      // Whatever other streams still do with it comes first.
      if (alive) {
        auto& context = table_.get<ContextObject>(memory.context, doing);
        for (const Use& use : unfinished(memory)) {
          if (use.stream == owner->id) continue;
          cu::Event event = spareEvent(context, doing);
          context.spareEvents.push_back(event);
          CUDA_CALL(cuda, eventRecord, doing, event, stream(use.stream, doing).handle);
          CUDA_CALL(cuda, streamWaitEvent, doing, owner->handle, event, 0u);
        }
      }
      CUDA_CALL(cuda, memFreeAsync, doing, memory.address, owner->handle);
      submitted(*owner);
      return;
    }
    case MemoryOrigin::Guarded:
      CUDA_CALL(cuda, memUnmap, doing, memory.mapped, memory.mappedBytes);
      CUDA_CALL(cuda, memRelease, doing, memory.physical);
      CUDA_CALL(cuda, memAddressFree, doing, memory.reserved, memory.reservedBytes);
      return;
    case MemoryOrigin::ModuleGlobal:
      return;
  }
}

Napi::Value Instance::free(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "free device memory");
  auto& memory = table_.get<MemoryObject>(arguments.integer(0, "buffer"), arguments.doing());
  enter(memory, arguments.doing());
  const std::string doing = "free " + bytesText(memory.bytes);
  if (memory.origin == MemoryOrigin::StreamOrdered) {
    auto& owner = stream(memory.parent, arguments.doing());
    if (owner.capture != nullptr)
      throw Failure(busy, doing, "its stream is being captured: free it after the capture has ended");
  } else if (memory.origin != MemoryOrigin::ModuleGlobal) {
    requireSettled(memory, doing);
  }
  auto owned = table_.remove(memory, doing);
  // The parent's count fell with `remove`; a pool is a second parent.
  if (Object* pool = table_.find(memory.pool); pool != nullptr) pool->children--;
  releaseMemory(static_cast<MemoryObject&>(*owned), true, doing.c_str());
  return info.Env().Undefined();
}

Napi::Value Instance::address(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "read a buffer's address");
  auto& memory = table_.get<MemoryObject>(arguments.integer(0, "buffer"), arguments.doing());
  return Napi::BigInt::New(info.Env(), static_cast<std::uint64_t>(memory.address));
}

MemoryObject& Instance::range(Handle handle, std::uint64_t offset, std::uint64_t bytes, const char* doing) {
  auto& memory = table_.get<MemoryObject>(handle, doing);
  if (offset > memory.bytes || bytes > memory.bytes - offset)
    throw Failure(outOfRange, doing,
                  "bytes " + std::to_string(offset) + " to " + std::to_string(offset + bytes) + " of a buffer of " +
                      bytesText(memory.bytes));
  return memory;
}
