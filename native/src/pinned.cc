// Page-locked host memory: allocated for JavaScript, or an ArrayBuffer of its own locked in place.
#include <cstring>

#include "addon.h"

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
