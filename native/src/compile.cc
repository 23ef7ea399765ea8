// NVRTC (CUDA C++ → cubin or PTX) and nvJitLink (several inputs → one cubin), on a background thread.
#include "addon.h"

namespace {
template <typename F>
F resolve(const Library& library, const std::string& name, const char* doing) {
  void* symbol = library.symbol(name.c_str());
  if (symbol == nullptr) throw Failure(symbolMissing, doing, library.path + " has no " + name);
  return reinterpret_cast<F>(symbol);
}

struct CompileJob {
  std::shared_ptr<Library> library;
  std::string source, name;
  std::vector<std::string> options, expressions, headerNames, headers;
  bool ptx = false;
  std::string image, log;
  std::vector<std::string> lowered;

  void run() {
    const std::string doing = "compile " + name + " with NVRTC";
    using Program = void*;
    auto errorText = resolve<const char* (*)(int)>(*library, "nvrtcGetErrorString", doing.c_str());
    auto check = [&](int result, const char* call) {
      if (result == 0) return;
      Failure failure(std::string("NVRTC_ERROR_") + std::to_string(result), doing, errorText(result));
      failure.code = errorText(result);
      failure.call = call;
      failure.result = result;
      failure.log = log;
      throw failure;
    };
    auto pointers = [](const std::vector<std::string>& texts) {
      std::vector<const char*> result;
      for (const auto& text : texts) result.push_back(text.c_str());
      return result;
    };
    auto headerTexts = pointers(headers), headerIds = pointers(headerNames), flags = pointers(options);
    Program program = nullptr;
    check(resolve<int (*)(Program*, const char*, const char*, int, const char* const*, const char* const*)>(
              *library, "nvrtcCreateProgram", doing.c_str())(&program, source.c_str(), name.c_str(), int(headers.size()),
                                                             headerTexts.data(), headerIds.data()),
          "nvrtcCreateProgram");
    struct Owner {
      int (*destroy)(Program*);
      Program program;
      ~Owner() { destroy(&program); }
    } owner{resolve<int (*)(Program*)>(*library, "nvrtcDestroyProgram", doing.c_str()), program};
    auto addExpression = resolve<int (*)(Program, const char*)>(*library, "nvrtcAddNameExpression", doing.c_str());
    for (const auto& expression : expressions) check(addExpression(program, expression.c_str()), "nvrtcAddNameExpression");
    const int compiled = resolve<int (*)(Program, int, const char* const*)>(*library, "nvrtcCompileProgram", doing.c_str())(
        program, int(flags.size()), flags.data());
    auto sizeOf = [&](const char* call) {
      std::size_t bytes = 0;
      check(resolve<int (*)(Program, std::size_t*)>(*library, call, doing.c_str())(program, &bytes), call);
      return bytes;
    };
    auto contents = [&](const char* sizeCall, const char* call) {
      std::string text(sizeOf(sizeCall), '\0');
      if (!text.empty())
        check(resolve<int (*)(Program, char*)>(*library, call, doing.c_str())(program, text.data()), call);
      return text;
    };
    log = contents("nvrtcGetProgramLogSize", "nvrtcGetProgramLog");
    while (!log.empty() && log.back() == '\0') log.pop_back();
    check(compiled, "nvrtcCompileProgram");
    image = ptx ? contents("nvrtcGetPTXSize", "nvrtcGetPTX") : contents("nvrtcGetCUBINSize", "nvrtcGetCUBIN");
    auto getLowered = resolve<int (*)(Program, const char*, const char**)>(*library, "nvrtcGetLoweredName", doing.c_str());
    for (const auto& expression : expressions) {
      const char* mangled = nullptr;
      check(getLowered(program, expression.c_str(), &mangled), "nvrtcGetLoweredName");
      lowered.emplace_back(mangled);
    }
  }
};

struct LinkJob {
  std::shared_ptr<Library> library;
  std::vector<std::string> options, names;
  std::vector<int> kinds;
  std::vector<std::vector<std::uint8_t>> inputs;
  std::string image, log;

  void run() {
    static constexpr const char* doing = "link with nvJitLink";
    using Linker = void*;
    unsigned major = 0, minor = 0;
    resolve<int (*)(unsigned*, unsigned*)>(*library, "nvJitLinkVersion", doing)(&major, &minor);
    // The library exports each entry point under the version that it belongs to.
    auto symbol = [&](const std::string& name) {
      for (int older = int(minor); older >= 0; older--) {
        const std::string versioned = "__" + name + "_" + std::to_string(major) + "_" + std::to_string(older);
        if (library->symbol(versioned.c_str()) != nullptr) return versioned;
      }
      return name;
    };
    Linker linker = nullptr;
    auto text = [&](const char* sizeCall, const char* call) {
      std::size_t bytes = 0;
      std::string result;
      if (resolve<int (*)(Linker, std::size_t*)>(*library, symbol(sizeCall), doing)(linker, &bytes) == 0 && bytes > 0) {
        result.resize(bytes);
        resolve<int (*)(Linker, char*)>(*library, symbol(call), doing)(linker, result.data());
        while (!result.empty() && result.back() == '\0') result.pop_back();
      }
      return result;
    };
    auto check = [&](int result, const char* call) {
      if (result == 0) return;
      Failure failure("NVJITLINK_ERROR_" + std::to_string(result), doing, "the linker refused its input");
      failure.call = call;
      failure.result = result;
      if (linker != nullptr) failure.log = text("nvJitLinkGetErrorLogSize", "nvJitLinkGetErrorLog");
      throw failure;
    };
    std::vector<const char*> flags;
    for (const auto& option : options) flags.push_back(option.c_str());
    check(resolve<int (*)(Linker*, std::uint32_t, const char**)>(*library, symbol("nvJitLinkCreate"), doing)(
              &linker, std::uint32_t(flags.size()), flags.data()),
          "nvJitLinkCreate");
    struct Owner {
      int (*destroy)(Linker*);
      Linker linker;
      ~Owner() { destroy(&linker); }
    } owner{resolve<int (*)(Linker*)>(*library, symbol("nvJitLinkDestroy"), doing), linker};
    auto add = resolve<int (*)(Linker, int, const void*, std::size_t, const char*)>(*library, symbol("nvJitLinkAddData"), doing);
    for (std::size_t i = 0; i < inputs.size(); i++)
      check(add(linker, kinds[i], inputs[i].data(), inputs[i].size(), names[i].c_str()), "nvJitLinkAddData");
    check(resolve<int (*)(Linker)>(*library, symbol("nvJitLinkComplete"), doing)(linker), "nvJitLinkComplete");
    std::size_t bytes = 0;
    check(resolve<int (*)(Linker, std::size_t*)>(*library, symbol("nvJitLinkGetLinkedCubinSize"), doing)(linker, &bytes),
          "nvJitLinkGetLinkedCubinSize");
    image.resize(bytes);
    check(resolve<int (*)(Linker, void*)>(*library, symbol("nvJitLinkGetLinkedCubin"), doing)(linker, image.data()),
          "nvJitLinkGetLinkedCubin");
    log = text("nvJitLinkGetInfoLogSize", "nvJitLinkGetInfoLog");
  }
};

Napi::Uint8Array toBytes(Napi::Env env, const std::string& data) {
  auto array = Napi::Uint8Array::New(env, data.size());
  std::copy(data.begin(), data.end(), array.Data());
  return array;
}

std::shared_ptr<Library> opened(const std::unordered_map<std::string, std::shared_ptr<Library>>& libraries, const char* which,
                                const char* doing) {
  auto found = libraries.find(which);
  if (found == libraries.end() || found->second->handle == nullptr)
    throw Failure(libraryMissing, doing, std::string(which) + " has not been opened or was not found");
  return found->second;
}
}  // namespace

// compile(source, name, options, expressions, headerNames, headers, ptx) → { image, log, lowered }
Napi::Value Instance::compile(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "compile with NVRTC");
  auto job = std::make_shared<CompileJob>();
  job->library = opened(libraries_, "nvrtc", arguments.doing());
  job->source = arguments.text(0, "source");
  job->name = arguments.text(1, "name");
  job->options = arguments.texts(2, "options");
  job->expressions = arguments.texts(3, "expressions");
  job->headerNames = arguments.texts(4, "headerNames");
  job->headers = arguments.texts(5, "headers");
  job->ptx = arguments.boolean(6, "ptx");
  if (job->headers.size() != job->headerNames.size()) arguments.refuse("each header needs a name");
  return background(
      info.Env(), 0, [job] { job->run(); },
      [job](Napi::Env env) -> Napi::Value {
        auto result = Napi::Object::New(env);
        result.Set("image", toBytes(env, job->image));
        result.Set("log", job->log);
        auto names = Napi::Array::New(env);
        for (std::size_t i = 0; i < job->lowered.size(); i++) names.Set(std::uint32_t(i), job->lowered[i]);
        result.Set("lowered", names);
        return result;
      });
}

// link(options, names, kinds (1 cubin, 2 PTX, 3 LTO IR, 4 fatbin), inputs) → { image, log }
Napi::Value Instance::link(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "link with nvJitLink");
  auto job = std::make_shared<LinkJob>();
  job->library = opened(libraries_, "nvJitLink", arguments.doing());
  job->options = arguments.texts(0, "options");
  job->names = arguments.texts(1, "names");
  for (double kind : arguments.numbers(2, "kinds")) job->kinds.push_back(int(kind));
  if (!info[3].IsArray()) arguments.refuse("inputs must be an array");
  Napi::Array inputs = info[3].As<Napi::Array>();
  if (inputs.Length() != job->names.size() || inputs.Length() != job->kinds.size())
    arguments.refuse("each input needs a name and a kind");
  for (std::uint32_t i = 0; i < inputs.Length(); i++) {
    Napi::Value item = inputs.Get(i);
    if (!item.IsTypedArray()) arguments.refuse("an input must be a typed array");
    Napi::TypedArray array = item.As<Napi::TypedArray>();
    const auto* data = static_cast<const std::uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset();
    job->inputs.emplace_back(data, data + array.ByteLength());
    if (job->kinds[i] == 2) job->inputs.back().push_back(0);  // PTX is a C string
  }
  return background(
      info.Env(), 0, [job] { job->run(); },
      [job](Napi::Env env) -> Napi::Value {
        auto result = Napi::Object::New(env);
        result.Set("image", toBytes(env, job->image));
        result.Set("log", job->log);
        return result;
      });
}
