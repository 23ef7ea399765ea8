// Modules from cubin or PTX, their functions and globals, occupancy.
#include "addon.h"

Napi::Value Instance::loadModule(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "load a module");
  auto& context = table_.get<ContextObject>(arguments.integer(0, "context"), arguments.doing());
  const auto [data, bytes] = arguments.bytes(1, "image");
  const int maxRegisters = arguments.signedInteger(2, "maxRegisters");  // 0: the compiler's choice; only for PTX
  if (bytes == 0) arguments.refuse("the image is empty");
  struct Work {
    std::shared_ptr<PrimaryContext> primary;
    std::vector<std::uint8_t> image;
    std::string log;
    cu::Module module = nullptr;
    ~Work() {
      if (module != nullptr) primary->driver->moduleUnload(module);
    }
  };
  auto work = std::make_shared<Work>();
  work->primary = context.primary;
  work->image.assign(data, data + bytes);
  work->image.push_back(0);  // PTX is a C string
  const Handle owner = context.id;
  return background(
      info.Env(), owner,
      [work, maxRegisters] {
        const std::string doing = "load a module of " + std::to_string(work->image.size() - 1) + " bytes";
        work->primary->makeCurrent(doing.c_str());
        std::vector<char> errors(16384), messages(16384);
        int options[] = {cu::jitErrorLog, cu::jitErrorLogBytes, cu::jitInfoLog, cu::jitInfoLogBytes, cu::jitMaxRegisters};
        void* values[] = {errors.data(), reinterpret_cast<void*>(errors.size()), messages.data(),
                          reinterpret_cast<void*>(messages.size()),
                          reinterpret_cast<void*>(static_cast<std::uintptr_t>(maxRegisters))};
        try {
          CUDA_CALL(*work->primary->driver, moduleLoadDataEx, doing, &work->module, work->image.data(),
                    maxRegisters > 0 ? 5u : 4u, options, values);
        } catch (Failure& failure) {
          failure.log = errors.data();
          throw;
        }
        work->log = messages.data();
      },
      [this, work, owner](Napi::Env env) -> Napi::Value {
        auto object = std::make_unique<ModuleObject>();
        object->handle = std::exchange(work->module, nullptr);
        object->context = object->parent = owner;
        auto result = Napi::Object::New(env);
        result.Set("handle", double(table_.insert(std::move(object))));
        result.Set("log", work->log);
        return result;
      });
}

Napi::Value Instance::unloadModule(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "unload a module");
  auto& object = table_.get<ModuleObject>(arguments.integer(0, "module"), arguments.doing());
  enter(object, arguments.doing());
  requireSettled(object, arguments.doing());
  const auto functions = object.functions;
  auto owned = table_.remove(object, arguments.doing());
  for (Handle handle : functions)
    if (Object* function = table_.find(handle); function != nullptr) table_.remove(*function, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), moduleUnload, arguments.doing(), static_cast<ModuleObject&>(*owned).handle);
  return info.Env().Undefined();
}

// { handle, attributes, parameters }: the function's attributes in the order asked for; its parameters' [offset, bytes] pairs
// where the driver tells them.
Napi::Value Instance::getFunction(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "find a kernel");
  auto& module = table_.get<ModuleObject>(arguments.integer(0, "module"), arguments.doing());
  const std::string name = arguments.text(1, "name");
  const auto wanted = arguments.numbers(2, "attributes");
  enter(module, arguments.doing());
  const Driver& cuda = driver(arguments.doing());
  auto object = std::make_unique<FunctionObject>();
  object->name = name;
  object->module = module.id;
  object->context = module.context;
  CUDA_CALL(cuda, moduleGetFunction, "find the kernel " + name, &object->handle, module.handle, name.c_str());
  auto attributes = Napi::Array::New(info.Env());
  for (std::size_t i = 0; i < wanted.size(); i++) {
    int value = 0;
    if (cuda.funcGetAttribute == nullptr || cuda.funcGetAttribute(&value, int(wanted[i]), object->handle) != cu::success)
      value = -1;
    attributes.Set(std::uint32_t(i), value);
  }
  auto parameters = Napi::Array::New(info.Env());
  if (cuda.funcGetParamInfo != nullptr) {
    object->layoutKnown = true;
    std::size_t offset = 0, bytes = 0;
    for (std::size_t i = 0; cuda.funcGetParamInfo(object->handle, i, &offset, &bytes) == cu::success; i++) {
      object->parameters.emplace_back(offset, bytes);
      object->parameterBytes = offset + bytes;
      auto pair = Napi::Array::New(info.Env(), 2);
      pair.Set(0u, double(offset));
      pair.Set(1u, double(bytes));
      parameters.Set(std::uint32_t(i), pair);
    }
  }
  auto result = Napi::Object::New(info.Env());
  result.Set("attributes", attributes);
  result.Set("parameters", object->layoutKnown ? Napi::Value(parameters) : info.Env().Null());
  const Handle handle = table_.insert(std::move(object));
  module.functions.push_back(handle);
  result.Set("handle", double(handle));
  return result;
}

Napi::Value Instance::getGlobal(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "find a module's global");
  auto& module = table_.get<ModuleObject>(arguments.integer(0, "module"), arguments.doing());
  const std::string name = arguments.text(1, "name");
  enter(module, arguments.doing());
  auto object = std::make_unique<MemoryObject>();
  object->origin = MemoryOrigin::ModuleGlobal;
  object->context = module.context;
  object->parent = module.id;
  CUDA_CALL(driver(arguments.doing()), moduleGetGlobal, "find the global " + name, &object->address, &object->bytes,
            module.handle, name.c_str());
  auto result = Napi::Object::New(info.Env());
  result.Set("bytes", double(object->bytes));
  result.Set("handle", double(table_.insert(std::move(object))));
  return result;
}

Napi::Value Instance::setFunctionAttribute(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "set a kernel's attribute");
  auto& function = table_.get<FunctionObject>(arguments.integer(0, "function"), arguments.doing());
  enter(function, arguments.doing());
  CUDA_CALL(driver(arguments.doing()), funcSetAttribute, "set an attribute of the kernel " + function.name, function.handle,
            arguments.signedInteger(1, "attribute"), arguments.signedInteger(2, "value"));
  return info.Env().Undefined();
}

// How many blocks of this launch one multiprocessor holds, and for clusters how many clusters the device holds.
Napi::Value Instance::occupancy(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "ask for a kernel's occupancy");
  auto& launch = table_.get<LaunchObject>(arguments.integer(0, "launch"), arguments.doing());
  auto& function = table_.get<FunctionObject>(launch.function, arguments.doing());
  enter(launch, arguments.doing());
  const Driver& cuda = driver(arguments.doing());
  int blocks = 0, clusters = 0;
  const auto threads = static_cast<int>(launch.config.blockX * launch.config.blockY * launch.config.blockZ);
  CUDA_CALL(cuda, occupancyBlocks, arguments.doing(), &blocks, function.handle, threads,
            std::size_t(launch.config.sharedBytes));
  if (launch.cluster[0] * launch.cluster[1] * launch.cluster[2] > 1)
    CUDA_CALL(cuda, occupancyClusters, arguments.doing(), &clusters, function.handle, &launch.config);
  auto result = Napi::Object::New(info.Env());
  result.Set("blocksPerMultiprocessor", blocks);
  result.Set("clusters", clusters);
  return result;
}
