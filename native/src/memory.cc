// Device memory (plain, stream-ordered, between guard pages), page-locked host memory, copies and fills.
#include <cstring>

#include "addon.h"

namespace {
std::string bytesText(std::uint64_t bytes) { return std::to_string(bytes) + " bytes"; }
std::size_t roundUp(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }
}  // namespace

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

// --- Page-locked memory ---------------------------------------------------------------------------------------------------

Napi::Value Instance::allocatePinned(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "allocate page-locked memory");
  auto& context = table_.get<ContextObject>(arguments.integer(0, "context"), arguments.doing());
  const std::uint64_t bytes = arguments.integer(1, "bytes");
  if (bytes == 0) arguments.refuse("bytes must be at least 1");
  auto block = std::make_shared<PinnedBlock>();
  block->primary = context.primary;
  block->bytes = bytes;
  const Handle owner = context.id;
  return background(
      info.Env(), owner,
      [block] {
        const std::string doing = "allocate " + bytesText(block->bytes) + " of page-locked memory";
        block->primary->makeCurrent(doing.c_str());
        void* data = nullptr;
        CUDA_CALL(*block->primary->driver, memHostAlloc, doing, &data, block->bytes, cu::hostAllocPortable);
        block->data = data;
        std::memset(data, 0, block->bytes);
      },
      [this, block, owner](Napi::Env env) -> Napi::Value {
        auto object = std::make_unique<PinnedObject>();
        object->block = block;
        object->context = object->parent = owner;
        // The array buffer keeps the block: memory that a typed array shows is never freed under it.
        auto buffer = Napi::ArrayBuffer::New(
            env, block->data, block->bytes,
            [](Napi::BasicEnv, void*, std::shared_ptr<PinnedBlock>* hint) { delete hint; },
            new std::shared_ptr<PinnedBlock>(block));
        object->buffer = Napi::Reference<Napi::ArrayBuffer>::New(buffer, 1);
        auto result = Napi::Object::New(env);
        result.Set("handle", double(table_.insert(std::move(object))));
        result.Set("buffer", buffer);
        return result;
      });
}

// Locks memory that JavaScript already has, so that copies read it where it is.
Napi::Value Instance::registerPinned(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "page-lock an ArrayBuffer");
  auto& context = table_.get<ContextObject>(arguments.integer(0, "context"), arguments.doing());
  if (!info[1].IsArrayBuffer()) arguments.refuse("buffer must be an ArrayBuffer");
  auto buffer = info[1].As<Napi::ArrayBuffer>();
  if (buffer.ByteLength() == 0) arguments.refuse("the ArrayBuffer is empty or detached");
  auto block = std::make_shared<PinnedBlock>();
  block->primary = context.primary;
  block->bytes = buffer.ByteLength();
  block->registered = true;
  const Handle owner = context.id;
  void* const data = buffer.Data();
  auto reference = std::make_shared<Napi::Reference<Napi::ArrayBuffer>>(Napi::Reference<Napi::ArrayBuffer>::New(buffer, 1));
  return background(
      info.Env(), owner,
      [block, data] {
        const std::string doing = "page-lock " + bytesText(block->bytes);
        block->primary->makeCurrent(doing.c_str());
        CUDA_CALL(*block->primary->driver, memHostRegister, doing, data, block->bytes, cu::hostRegisterPortable);
        block->data = data;
      },
      [this, block, owner, reference](Napi::Env env) -> Napi::Value {
        auto object = std::make_unique<PinnedObject>();
        object->block = block;
        object->context = object->parent = owner;
        object->buffer = std::move(*reference);
        return Napi::Number::New(env, double(table_.insert(std::move(object))));
      });
}

Napi::Value Instance::freePinned(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "free page-locked memory");
  auto& object = table_.get<PinnedObject>(arguments.integer(0, "pinned"), arguments.doing());
  enter(object, arguments.doing());
  requireSettled(object, arguments.doing());
  auto owned = table_.remove(object, arguments.doing());
  auto& pinned = static_cast<PinnedObject&>(*owned);
  // Ours: typed arrays over it become empty, and the block goes when the engine lets go of it.
  if (!pinned.block->registered) {
    Napi::ArrayBuffer buffer = pinned.buffer.Value();
    if (!buffer.IsEmpty() && !buffer.IsDetached()) buffer.Detach();
  }
  return info.Env().Undefined();
}

std::uint8_t* Instance::pinnedRange(Handle handle, std::uint64_t offset, std::uint64_t bytes, const char* doing) {
  auto& pinned = table_.get<PinnedObject>(handle, doing);
  Napi::ArrayBuffer buffer = pinned.buffer.Value();
  if (buffer.IsEmpty() || buffer.ByteLength() != pinned.block->bytes || buffer.Data() != pinned.block->data)
    throw Failure(staleHandle, doing, "the ArrayBuffer of this page-locked memory was transferred, resized or detached");
  if (offset > pinned.block->bytes || bytes > pinned.block->bytes - offset)
    throw Failure(outOfRange, doing,
                  "bytes " + std::to_string(offset) + " to " + std::to_string(offset + bytes) + " of page-locked memory of " +
                      bytesText(pinned.block->bytes));
  return static_cast<std::uint8_t*>(pinned.block->data) + offset;
}

// --- Copies and fills, all asynchronous ---------------------------------------------------------------------------------

#define NOTE_CAPTURE(target, handle) \
  if ((target).capture != nullptr) (target).capture->others.push_back(handle)

Napi::Value Instance::copyToDevice(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "copy to the device");
  auto& target = stream(arguments.integer(0, "stream"), arguments.doing());
  const std::uint64_t bytes = arguments.integer(5, "bytes");
  const std::uint64_t offset = arguments.integer(2, "destinationOffset");
  auto& memory = range(arguments.integer(1, "destination"), offset, bytes, arguments.doing());
  const Handle source = arguments.integer(3, "source");
  const std::uint8_t* data = pinnedRange(source, arguments.integer(4, "sourceOffset"), bytes, arguments.doing());
  Object& pinned = *table_.find(source);
  sameDevice(memory, target, arguments.doing());
  sameDevice(pinned, target, arguments.doing());
  if (bytes == 0) return info.Env().Undefined();
  enter(target, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), memcpyHtoDAsync, arguments.doing(), memory.address + offset, data, std::size_t(bytes),
            target.handle);
  submitted(target);
  use(target, memory);
  use(target, pinned);
  NOTE_CAPTURE(target, memory.id);
  NOTE_CAPTURE(target, source);
  return info.Env().Undefined();
}

Napi::Value Instance::copyToHost(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "copy to the host");
  auto& target = stream(arguments.integer(0, "stream"), arguments.doing());
  const std::uint64_t bytes = arguments.integer(5, "bytes");
  const Handle destination = arguments.integer(1, "destination");
  std::uint8_t* data = pinnedRange(destination, arguments.integer(2, "destinationOffset"), bytes, arguments.doing());
  const std::uint64_t offset = arguments.integer(4, "sourceOffset");
  auto& memory = range(arguments.integer(3, "source"), offset, bytes, arguments.doing());
  Object& pinned = *table_.find(destination);
  sameDevice(memory, target, arguments.doing());
  sameDevice(pinned, target, arguments.doing());
  if (bytes == 0) return info.Env().Undefined();
  enter(target, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), memcpyDtoHAsync, arguments.doing(), data, memory.address + offset, std::size_t(bytes),
            target.handle);
  submitted(target);
  use(target, memory);
  use(target, pinned);
  NOTE_CAPTURE(target, memory.id);
  NOTE_CAPTURE(target, destination);
  return info.Env().Undefined();
}

Napi::Value Instance::copyOnDevice(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "copy on the device");
  auto& target = stream(arguments.integer(0, "stream"), arguments.doing());
  const std::uint64_t bytes = arguments.integer(5, "bytes");
  const std::uint64_t to = arguments.integer(2, "destinationOffset");
  const std::uint64_t from = arguments.integer(4, "sourceOffset");
  auto& destination = range(arguments.integer(1, "destination"), to, bytes, arguments.doing());
  auto& source = range(arguments.integer(3, "source"), from, bytes, arguments.doing());
  sameDevice(destination, target, arguments.doing());
  sameDevice(source, target, arguments.doing());
  const cu::DevicePtr a = destination.address + to, b = source.address + from;
  if (a < b + bytes && b < a + bytes && bytes > 0)
    throw Failure(outOfRange, arguments.doing(), "the two ranges overlap: the result would be undefined");
  if (bytes == 0) return info.Env().Undefined();
  enter(target, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), memcpyDtoDAsync, arguments.doing(), a, b, std::size_t(bytes), target.handle);
  submitted(target);
  use(target, destination);
  use(target, source);
  NOTE_CAPTURE(target, destination.id);
  NOTE_CAPTURE(target, source.id);
  return info.Env().Undefined();
}

// A few bytes straight from a typed array. The driver takes them before it returns, so the array may change afterwards.
Napi::Value Instance::write(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "write a few bytes to the device");
  auto& target = stream(arguments.integer(0, "stream"), arguments.doing());
  const std::uint64_t offset = arguments.integer(2, "offset");
  const auto [data, bytes] = arguments.bytes(3, "data");
  if (bytes > 65536) arguments.refuse("more than 65,536 bytes: copy from page-locked memory instead");
  if (target.capture != nullptr)
    throw Failure(busy, arguments.doing(), "the stream is being captured: copy from page-locked memory instead");
  auto& memory = range(arguments.integer(1, "destination"), offset, bytes, arguments.doing());
  sameDevice(memory, target, arguments.doing());
  if (bytes == 0) return info.Env().Undefined();
  enter(target, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), memcpyHtoDAsync, arguments.doing(), memory.address + offset, data, bytes, target.handle);
  submitted(target);
  use(target, memory);
  return info.Env().Undefined();
}

// `count` elements of `width` bytes (1, 2 or 4), each equal to `value`.
Napi::Value Instance::fill(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "fill device memory");
  auto& target = stream(arguments.integer(0, "stream"), arguments.doing());
  const std::uint64_t offset = arguments.integer(2, "offset");
  const std::uint64_t count = arguments.integer(3, "count");
  const std::uint64_t value = arguments.integer(4, "value");
  const std::uint64_t width = arguments.integer(5, "width");
  if (width != 1 && width != 2 && width != 4) arguments.refuse("width must be 1, 2 or 4 bytes");
  if (value >= (1ull << (8 * width))) arguments.refuse("value does not fit into the element's width");
  if (offset % width != 0) arguments.refuse("offset must be a multiple of width");
  if (count > (1ull << 48)) arguments.refuse("count is too large");
  auto& memory = range(arguments.integer(1, "destination"), offset, count * width, arguments.doing());
  sameDevice(memory, target, arguments.doing());
  if (count == 0) return info.Env().Undefined();
  enter(target, arguments.doing());
  const Driver& cuda = driver(arguments.doing());
  const cu::DevicePtr address = memory.address + offset;
  if (width == 1)
    CUDA_CALL(cuda, memsetD8Async, arguments.doing(), address, static_cast<unsigned char>(value), std::size_t(count), target.handle);
  else if (width == 2)
    CUDA_CALL(cuda, memsetD16Async, arguments.doing(), address, static_cast<unsigned short>(value), std::size_t(count), target.handle);
  else
    CUDA_CALL(cuda, memsetD32Async, arguments.doing(), address, static_cast<unsigned>(value), std::size_t(count), target.handle);
  submitted(target);
  use(target, memory);
  NOTE_CAPTURE(target, memory.id);
  return info.Env().Undefined();
}
