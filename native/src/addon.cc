#include "addon.h"

Napi::Error toError(Napi::Env env, const Failure& failure) {
  std::string message = failure.doing + ": " + failure.description;
  if (!failure.call.empty()) message += " (" + failure.code + " from " + failure.call + ")";
  Napi::Error error = Napi::Error::New(env, message);
  Napi::Object value = error.Value();
  value.Set("code", failure.code);
  value.Set("call", failure.call);
  value.Set("doing", failure.doing);
  value.Set("description", failure.description);
  value.Set("result", failure.result);
  value.Set("log", failure.log);
  return error;
}

std::uint64_t toInteger(double value, const char* name, const char* doing) {
  if (!(value >= 0 && value <= 9007199254740991.0) || value != static_cast<double>(static_cast<std::uint64_t>(value)))
    throw Failure(badArgument, doing, std::string(name) + " must be an integer from 0 to 2^53 - 1");
  return static_cast<std::uint64_t>(value);
}

std::uint64_t Arguments::integer(std::size_t index, const char* name) const {
  Napi::Value value = info_[index];
  if (!value.IsNumber()) refuse(std::string(name) + " must be a number");
  return toInteger(value.As<Napi::Number>().DoubleValue(), name, doing_);
}
std::int32_t Arguments::signedInteger(std::size_t index, const char* name) const {
  Napi::Value value = info_[index];
  if (!value.IsNumber()) refuse(std::string(name) + " must be a number");
  return value.As<Napi::Number>().Int32Value();
}
bool Arguments::boolean(std::size_t index, const char* name) const {
  Napi::Value value = info_[index];
  if (!value.IsBoolean()) refuse(std::string(name) + " must be true or false");
  return value.As<Napi::Boolean>().Value();
}
std::string Arguments::text(std::size_t index, const char* name) const {
  Napi::Value value = info_[index];
  if (!value.IsString()) refuse(std::string(name) + " must be a string");
  return value.As<Napi::String>().Utf8Value();
}
std::vector<std::string> Arguments::texts(std::size_t index, const char* name) const {
  Napi::Value value = info_[index];
  if (!value.IsArray()) refuse(std::string(name) + " must be an array of strings");
  Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string> result;
  for (std::uint32_t i = 0; i < array.Length(); i++) {
    Napi::Value item = array.Get(i);
    if (!item.IsString()) refuse(std::string(name) + " must be an array of strings");
    result.push_back(item.As<Napi::String>().Utf8Value());
  }
  return result;
}
Napi::Object Arguments::object(std::size_t index, const char* name) const {
  Napi::Value value = info_[index];
  if (!value.IsObject()) refuse(std::string(name) + " must be an object");
  return value.As<Napi::Object>();
}
std::pair<const std::uint8_t*, std::size_t> Arguments::bytes(std::size_t index, const char* name) const {
  Napi::Value value = info_[index];
  if (!value.IsTypedArray()) refuse(std::string(name) + " must be a typed array");
  Napi::TypedArray array = value.As<Napi::TypedArray>();
  const auto* data = static_cast<const std::uint8_t*>(array.ArrayBuffer().Data());
  return {data == nullptr ? nullptr : data + array.ByteOffset(), array.ByteLength()};
}
std::vector<double> Arguments::numbers(std::size_t index, const char* name) const {
  Napi::Value value = info_[index];
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array)
    refuse(std::string(name) + " must be a Float64Array");
  Napi::Float64Array array = value.As<Napi::Float64Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

// --- Functions for JavaScript ------------------------------------------------------------------------------------------

template <Napi::Value (Instance::*method)(const Napi::CallbackInfo&)>
void Instance::define(Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New(
                        env_,
                        [](const Napi::CallbackInfo& info) -> Napi::Value {
                          try {
                            return (static_cast<Instance*>(info.Data())->*method)(info);
                          } catch (const Failure& failure) {
                            throw toError(info.Env(), failure);
                          }
                        },
                        name, this));
}

// For the two calls whose cost is the product's: two numbers in, nothing out, no wrapper objects.
template <void (Instance::*method)(Handle, Handle)>
void Instance::defineFast(Napi::Object exports, const char* name, const char* doing) {
  struct Data {
    Instance* instance;
    const char* doing;
  };
  auto* data = new Data{this, doing};
  napi_value function;
  napi_create_function(
      env_, name, NAPI_AUTO_LENGTH,
      [](napi_env env, napi_callback_info info) -> napi_value {
        std::size_t count = 2;
        napi_value arguments[2];
        void* raw;
        napi_get_cb_info(env, info, &count, arguments, nullptr, &raw);
        const auto* data = static_cast<Data*>(raw);
        try {
          double first, second;
          if (count < 2 || napi_get_value_double(env, arguments[0], &first) != napi_ok ||
              napi_get_value_double(env, arguments[1], &second) != napi_ok)
            throw Failure(badArgument, data->doing, "two handles are needed");
          (data->instance->*method)(toInteger(first, "the first handle", data->doing),
                                    toInteger(second, "the second handle", data->doing));
        } catch (const Failure& failure) {
          napi_throw(env, toError(env, failure).Value());
        }
        return nullptr;
      },
      data, &function);
  napi_add_finalizer(env_, function, data, [](napi_env, void* raw, void*) { delete static_cast<Data*>(raw); }, nullptr,
                     nullptr);
  exports.Set(name, Napi::Value(env_, function));
}

Instance::Instance(Napi::Env env, Napi::Object exports) : env_(env) {
  define<&Instance::openDriver>(exports, "openDriver");
  define<&Instance::openLibrary>(exports, "openLibrary");
  define<&Instance::statistics>(exports, "statistics");
  define<&Instance::describeDevice>(exports, "describeDevice");
  define<&Instance::openContext>(exports, "openContext");
  define<&Instance::closeContext>(exports, "closeContext");
  define<&Instance::memoryInfo>(exports, "memoryInfo");
  define<&Instance::createStream>(exports, "createStream");
  define<&Instance::destroyStream>(exports, "destroyStream");
  define<&Instance::streamIdle>(exports, "streamIdle");
  define<&Instance::waitStream>(exports, "waitStream");
  define<&Instance::settled>(exports, "settled");
  define<&Instance::cancelWait>(exports, "cancelWait");
  define<&Instance::createEvent>(exports, "createEvent");
  define<&Instance::destroyEvent>(exports, "destroyEvent");
  define<&Instance::recordEvent>(exports, "recordEvent");
  define<&Instance::waitEvent>(exports, "waitEvent");
  define<&Instance::eventDone>(exports, "eventDone");
  define<&Instance::elapsed>(exports, "elapsed");
  define<&Instance::createPool>(exports, "createPool");
  define<&Instance::destroyPool>(exports, "destroyPool");
  define<&Instance::poolInfo>(exports, "poolInfo");
  define<&Instance::trimPool>(exports, "trimPool");
  define<&Instance::allocate>(exports, "allocate");
  define<&Instance::allocateOn>(exports, "allocateOn");
  define<&Instance::allocateGuarded>(exports, "allocateGuarded");
  define<&Instance::free>(exports, "free");
  define<&Instance::address>(exports, "address");
  define<&Instance::allocatePinned>(exports, "allocatePinned");
  define<&Instance::registerPinned>(exports, "registerPinned");
  define<&Instance::freePinned>(exports, "freePinned");
  define<&Instance::copyToDevice>(exports, "copyToDevice");
  define<&Instance::copyToHost>(exports, "copyToHost");
  define<&Instance::copyOnDevice>(exports, "copyOnDevice");
  define<&Instance::write>(exports, "write");
  define<&Instance::fill>(exports, "fill");
  define<&Instance::loadModule>(exports, "loadModule");
  define<&Instance::unloadModule>(exports, "unloadModule");
  define<&Instance::getFunction>(exports, "getFunction");
  define<&Instance::getGlobal>(exports, "getGlobal");
  define<&Instance::setFunctionAttribute>(exports, "setFunctionAttribute");
  define<&Instance::occupancy>(exports, "occupancy");
  define<&Instance::prepareLaunch>(exports, "prepareLaunch");
  define<&Instance::updateLaunch>(exports, "updateLaunch");
  define<&Instance::destroyLaunch>(exports, "destroyLaunch");
  defineFast<&Instance::launch>(exports, "launch", "launch a kernel");
  define<&Instance::beginCapture>(exports, "beginCapture");
  define<&Instance::endCapture>(exports, "endCapture");
  define<&Instance::destroyGraph>(exports, "destroyGraph");
  define<&Instance::instantiate>(exports, "instantiate");
  define<&Instance::destroyExecutable>(exports, "destroyExecutable");
  define<&Instance::uploadGraph>(exports, "uploadGraph");
  define<&Instance::updateKernelNode>(exports, "updateKernelNode");
  defineFast<&Instance::replay>(exports, "replay", "replay a graph");
  define<&Instance::prepareProduct>(exports, "prepareProduct");
  define<&Instance::submitProduct>(exports, "submitProduct");
  define<&Instance::destroyProduct>(exports, "destroyProduct");
  define<&Instance::compile>(exports, "compile");
  define<&Instance::link>(exports, "link");
}

// The environment ends: what the device has finished with is given back; what it may still use is left to the process's end,
// since waiting here could be for ever.
Instance::~Instance() {
  waiter_.reset();
  if (driver_ == nullptr) return;
  auto objects = table_.all();
  for (const Kind kind : {Kind::GraphExec, Kind::Launch, Kind::Graph, Kind::Memory, Kind::Module, Kind::Event, Kind::Stream, Kind::Pool})
    for (Object* object : objects)
      if (object->kind == kind) abandon(*object);
}

const Driver& Instance::driver(const char* doing) const {
  if (driver_ == nullptr) throw Failure(libraryMissing, doing, "the CUDA driver has not been opened");
  return *driver_;
}

ContextObject& Instance::enter(const Object& object, const char* doing) {
  const Handle handle = object.kind == Kind::Context ? object.id : object.context;
  auto& context = table_.get<ContextObject>(handle, doing);
  context.primary->makeCurrent(doing);
  return context;
}

void Instance::sameDevice(const Object& a, const Object& b, const char* doing) const {
  if (a.context == b.context) return;
  auto ordinal = [this](const Object& object) {
    auto* context = static_cast<ContextObject*>(table_.find(object.context));
    return context == nullptr ? std::string("?") : std::to_string(context->primary->ordinal);
  };
  throw Failure(wrongDevice, doing,
                std::string("the ") + kindName(a.kind) + " belongs to device " + ordinal(a) + ", the " + kindName(b.kind) +
                    " to device " + ordinal(b) + ", or to another opening of it");
}

// Runs on the pool's threads, which libuv shares with file work: for compilers and loading, never for waiting on a device.
Napi::Promise Instance::background(Napi::Env env, Handle pinned, std::function<void()> work,
                                   std::function<Napi::Value(Napi::Env)> finish) {
  class Job : public Napi::AsyncWorker {
   public:
    Job(Napi::Env env, HandleTable& table, Handle pinned, std::function<void()> work,
        std::function<Napi::Value(Napi::Env)> finish)
        : Napi::AsyncWorker(env), deferred(env), table_(table), pinned_(pinned), work_(std::move(work)),
          finish_(std::move(finish)) {}
    void Execute() override {
      try {
        work_();
      } catch (const Failure& failure) {
        failure_ = std::make_unique<Failure>(failure);
      } catch (const std::exception& error) {
        failure_ = std::make_unique<Failure>("ANNEAL_INTERNAL", "work in the background", error.what());
      }
    }
    void OnOK() override {
      if (Object* object = table_.find(pinned_); object != nullptr) object->pins--;
      if (failure_ == nullptr) {
        try {
          deferred.Resolve(finish_(Env()));
          return;
        } catch (const Failure& failure) {
          failure_ = std::make_unique<Failure>(failure);
        }
      }
      deferred.Reject(toError(Env(), *failure_).Value());
    }
    Napi::Promise::Deferred deferred;

   private:
    HandleTable& table_;
    Handle pinned_;
    std::function<void()> work_;
    std::function<Napi::Value(Napi::Env)> finish_;
    std::unique_ptr<Failure> failure_;
  };
  if (Object* object = table_.find(pinned); object != nullptr) object->pins++;
  auto* job = new Job(env, table_, pinned, std::move(work), std::move(finish));
  Napi::Promise promise = job->deferred.Promise();
  job->Queue();
  return promise;
}

// --- Libraries and statistics -------------------------------------------------------------------------------------------

Napi::Value Instance::openDriver(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "open the CUDA driver");
  auto names = arguments.texts(0, "names");
  struct Found {
    std::shared_ptr<Driver> driver;
    int devices = 0;
  };
  auto found = std::make_shared<Found>();
  if (driver_ != nullptr) found->driver = driver_;
  return background(
      info.Env(), 0,
      [found, names] {
        if (found->driver == nullptr) found->driver = Driver::open(names);
        CUDA_CALL(*found->driver, deviceGetCount, "count the devices", &found->devices);
      },
      [this, found](Napi::Env env) -> Napi::Value {
        if (driver_ == nullptr) driver_ = found->driver;
        auto result = Napi::Object::New(env);
        result.Set("path", driver_->library.path);
        result.Set("version", driver_->version);
        result.Set("devices", found->devices);
        return result;
      });
}

Napi::Value Instance::openLibrary(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "open a library");
  const std::string which = arguments.text(0, "which");
  auto names = arguments.texts(1, "names");
  if (which != "nvrtc" && which != "nvJitLink" && which != "cublasLt" && which != "cudnn")
    arguments.refuse("which must be nvrtc, nvJitLink, cublasLt or cudnn, not " + which);
  auto known = libraries_.find(which);
  auto library = known == libraries_.end() ? std::make_shared<Library>() : known->second;
  auto version = std::make_shared<std::vector<double>>();
  return background(
      info.Env(), 0,
      [library, names, which, version] {
        if (library->handle == nullptr) *library = Library::open(names);
        if (library->handle == nullptr) return;
        if (which == "nvrtc") {
          int major = 0, minor = 0;
          auto read = reinterpret_cast<int (*)(int*, int*)>(library->symbol("nvrtcVersion"));
          if (read != nullptr && read(&major, &minor) == 0) *version = {double(major), double(minor)};
        } else if (which == "nvJitLink") {
          unsigned major = 0, minor = 0;
          auto read = reinterpret_cast<int (*)(unsigned*, unsigned*)>(library->symbol("nvJitLinkVersion"));
          if (read != nullptr && read(&major, &minor) == 0) *version = {double(major), double(minor)};
        } else {
          auto read = reinterpret_cast<std::size_t (*)()>(
              library->symbol(which == "cublasLt" ? "cublasLtGetVersion" : "cudnnGetVersion"));
          if (read != nullptr) *version = {double(read())};
        }
      },
      [this, library, which, version](Napi::Env env) -> Napi::Value {
        libraries_[which] = library;
        auto result = Napi::Object::New(env);
        result.Set("found", library->handle != nullptr);
        result.Set("path", library->path);
        auto numbers = Napi::Array::New(env);
        for (std::size_t i = 0; i < version->size(); i++) numbers.Set(std::uint32_t(i), (*version)[i]);
        result.Set("version", numbers);
        auto reasons = Napi::Array::New(env);
        for (std::size_t i = 0; i < library->reasons.size(); i++) reasons.Set(std::uint32_t(i), library->reasons[i]);
        result.Set("reasons", reasons);
        return result;
      });
}

Napi::Value Instance::statistics(const Napi::CallbackInfo& info) {
  auto result = Napi::Object::New(info.Env());
  for (int kind = 0; kind < kindCount; kind++)
    result.Set(kindName(static_cast<Kind>(kind)), double(table_.live(static_cast<Kind>(kind))));
  result.Set("waits", double(waits_.size()));
  return result;
}

static Napi::Object start(Napi::Env env, Napi::Object exports) {
  auto* instance = new Instance(env, exports);
  env.SetInstanceData<Instance>(instance);
  return exports;
}
NODE_API_MODULE(anneal_cuda, start)
