#include "libraries.h"

#include <dlfcn.h>
#ifdef __linux__
#include <link.h>
#endif

#include <cstdlib>
#include <filesystem>

namespace {
std::string mappedPath(void* handle, const std::string& asked) {
#ifdef __linux__
  link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr && map->l_name[0] != '\0') {
    std::error_code error;
    auto real = std::filesystem::canonical(map->l_name, error);
    return error ? std::string(map->l_name) : real.string();
  }
#else
  (void)handle;
#endif
  return asked;
}
}  // namespace

Library Library::open(const std::vector<std::string>& names) {
  Library library;
  for (const auto& name : names) {
    dlerror();
    library.handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library.handle != nullptr) {
      library.path = mappedPath(library.handle, name);
      return library;
    }
    const char* reason = dlerror();
    library.reasons.emplace_back(reason != nullptr ? reason : name + ": not found");
  }
  return library;
}

void* Library::symbol(const char* name) const { return handle == nullptr ? nullptr : dlsym(handle, name); }

std::shared_ptr<Driver> Driver::open(const std::vector<std::string>& names) {
  auto driver = std::make_shared<Driver>();
  driver->library = Library::open(names);
  if (driver->library.handle == nullptr) {
    std::string reasons;
    for (const auto& reason : driver->library.reasons) reasons += (reasons.empty() ? "" : "; ") + reason;
    throw Failure(libraryMissing, "open the CUDA driver", reasons.empty() ? "no name to look for was given" : reasons);
  }
#define X(name, symbolName, arguments) \
  driver->name = reinterpret_cast<cu::Result(*) arguments>(driver->library.symbol(symbolName));
  ANNEAL_DRIVER_FUNCTIONS(X)
#undef X
  if (driver->init == nullptr)
    throw Failure(symbolMissing, "open the CUDA driver", driver->library.path + " has no cuInit: not a CUDA driver");
  CUDA_CALL(*driver, init, "initialise the CUDA driver", 0);
  CUDA_CALL(*driver, driverGetVersion, "read the driver's version", &driver->version);
  return driver;
}

Failure Driver::failure(cu::Result result, const char* call, std::string doing) const {
  const char* name = nullptr;
  const char* text = nullptr;
  if (getErrorName != nullptr) getErrorName(result, &name);
  if (getErrorString != nullptr) getErrorString(result, &text);
  Failure failure(name != nullptr ? name : "CUDA_ERROR_" + std::to_string(result), std::move(doing),
                  text != nullptr ? text : "the driver has no text for this error");
  failure.call = call;
  failure.result = result;
  return failure;
}
