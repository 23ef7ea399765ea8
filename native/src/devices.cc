// Devices, their attributes, and their primary contexts.
#include "addon.h"

Napi::Value Instance::describeDevice(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "describe a device");
  const auto ordinal = static_cast<int>(arguments.integer(0, "ordinal"));
  const Driver& cuda = driver(arguments.doing());
  cu::Device device;
  CUDA_CALL(cuda, deviceGet, "find device " + std::to_string(ordinal), &device, ordinal);
  char name[256] = {};
  CUDA_CALL(cuda, deviceGetName, "read a device's name", name, int(sizeof name) - 1, device);
  cu::Uuid uuid{};
  CUDA_CALL(cuda, deviceGetUuid, "read a device's UUID", &uuid, device);
  std::size_t total = 0;
  CUDA_CALL(cuda, deviceTotalMem, "read a device's memory size", &total, device);

  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (int i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits[uuid.bytes[i] >> 4];
    text += digits[uuid.bytes[i] & 15];
  }
  auto attributes = Napi::Array::New(info.Env());
  const auto wanted = arguments.numbers(1, "attributes");
  for (std::size_t i = 0; i < wanted.size(); i++) {
    int value = 0;
    // An attribute that this driver does not know is reported as -1: old drivers lack the newest.
    if (cuda.deviceGetAttribute == nullptr || cuda.deviceGetAttribute(&value, int(wanted[i]), device) != cu::success)
      value = -1;
    attributes.Set(std::uint32_t(i), value);
  }
  auto result = Napi::Object::New(info.Env());
  result.Set("name", std::string(name));
  result.Set("uuid", text);
  result.Set("totalBytes", double(total));
  result.Set("attributes", attributes);
  return result;
}

Napi::Value Instance::openContext(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "open a device");
  const auto ordinal = static_cast<int>(arguments.integer(0, "ordinal"));
  driver(arguments.doing());
  auto primary = std::make_shared<PrimaryContext>();
  primary->driver = driver_;
  primary->ordinal = ordinal;
  return background(
      info.Env(), 0,
      [primary] {
        const std::string doing = "open device " + std::to_string(primary->ordinal);
        CUDA_CALL(*primary->driver, deviceGet, doing, &primary->device, primary->ordinal);
        CUDA_CALL(*primary->driver, primaryCtxRetain, doing, &primary->handle, primary->device);
      },
      [this, primary](Napi::Env env) -> Napi::Value {
        auto context = std::make_unique<ContextObject>();
        context->primary = primary;
        if (waiter_ == nullptr)
          waiter_ = std::make_unique<Waiter>(env_, [this](PendingWait wait) { finishWait(std::move(wait)); });
        return Napi::Number::New(env, double(table_.insert(std::move(context))));
      });
}

Napi::Value Instance::closeContext(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "close a device");
  auto& context = table_.get<ContextObject>(arguments.integer(0, "context"), arguments.doing());
  enter(context, arguments.doing());
  auto spare = context.spareEvents;
  const Driver& cuda = driver(arguments.doing());
  auto owned = table_.remove(context, arguments.doing());
  for (cu::Event event : spare) cuda.eventDestroy(event);
  return info.Env().Undefined();
}

Napi::Value Instance::memoryInfo(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "read the free device memory");
  enter(table_.get<ContextObject>(arguments.integer(0, "context"), arguments.doing()), arguments.doing());
  std::size_t free = 0, total = 0;
  CUDA_CALL(driver(arguments.doing()), memGetInfo, arguments.doing(), &free, &total);
  auto result = Napi::Object::New(info.Env());
  result.Set("free", double(free));
  result.Set("total", double(total));
  return result;
}
