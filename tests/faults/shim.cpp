// SPDX-License-Identifier: Apache-2.0
// Preloaded into a command, makes one of its system calls fail: VENE_FAULT_CALL (open, read, write, rename, sync) and
// VENE_FAULT_NUMBER (from 1 on; 0: none), with VENE_FAULT_ERROR as errno. Counts from the start of main on, since what
// libraries open as they are loaded is not the command's, and leaves out /proc, /sys and /dev. At the end the number of
// calls goes to the file VENE_FAULT_COUNT.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

std::atomic<bool> armed{false};
std::atomic<long> counted{0};
int (*real_main)(int, char**, char**) = nullptr;

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// True for the call that is to fail; errno is set.
bool fails(const char* call) {
  if (!armed.load()) return false;
  static const char* const kCall = std::getenv("VENE_FAULT_CALL");
  static const long kNumber = std::atol(std::getenv("VENE_FAULT_NUMBER"));
  static const int kError = std::atoi(std::getenv("VENE_FAULT_ERROR"));
  if (std::strcmp(kCall, call) != 0) return false;
  if (++counted != kNumber) return false;
  errno = kError;
  return true;
}

bool of_the_system(const char* path) {
  return std::strncmp(path, "/proc", 5) == 0 || std::strncmp(path, "/sys", 4) == 0 ||
         std::strncmp(path, "/dev", 4) == 0;
}

bool of_the_system(int file) {
  char link[32], path[16] = {};
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  return syscall(SYS_readlink, link, path, sizeof path - 1) > 0 && of_the_system(path);
}

int armed_main(int count, char** arguments, char** environment) {
  armed = std::getenv("VENE_FAULT_CALL") != nullptr;
  unsetenv("LD_PRELOAD");  // programs that it starts are their own
  return real_main(count, arguments, environment);
}

struct AtEnd {
  ~AtEnd() {
    armed = false;
    const char* path = std::getenv("VENE_FAULT_COUNT");
    if (path == nullptr) return;
    char text[32];
    const int size = std::snprintf(text, sizeof text, "%ld", counted.load());
    const long file = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (file < 0) return;
    [[maybe_unused]] const long written = syscall(SYS_write, file, text, size);
    syscall(SYS_close, file);
  }
} at_end;

mode_t mode_of(int flags, va_list list) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
}

}  // namespace

extern "C" {

int __libc_start_main(int (*main)(int, char**, char**), int count, char** arguments, void (*begin)(), void (*end)(),
                      void (*loader_end)(), void* stack) {
  real_main = main;
  using Start = int (*)(int (*)(int, char**, char**), int, char**, void (*)(), void (*)(), void (*)(), void*);
  return next<Start>("__libc_start_main")(armed_main, count, arguments, begin, end, loader_end, stack);
}

int open(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_of(flags, list);
  va_end(list);
  if (!of_the_system(path) && fails("open")) return -1;
  return next<int (*)(const char*, int, ...)>("open")(path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_of(flags, list);
  va_end(list);
  if (!of_the_system(path) && fails("open")) return -1;
  return next<int (*)(const char*, int, ...)>("open64")(path, flags, mode);
}
FILE* fopen(const char* path, const char* mode) {
  if (!of_the_system(path) && fails("open")) return nullptr;
  return next<FILE* (*)(const char*, const char*)>("fopen")(path, mode);
}
FILE* fopen64(const char* path, const char* mode) {
  if (!of_the_system(path) && fails("open")) return nullptr;
  return next<FILE* (*)(const char*, const char*)>("fopen64")(path, mode);
}
int mkdir(const char* path, mode_t mode) {
  return fails("open") ? -1 : next<int (*)(const char*, mode_t)>("mkdir")(path, mode);
}
char* mkdtemp(char* path) {
  return fails("open") ? nullptr : next<char* (*)(char*)>("mkdtemp")(path);
}
ssize_t read(int file, void* bytes, size_t size) {
  return !of_the_system(file) && fails("read") ? -1 : next<ssize_t (*)(int, void*, size_t)>("read")(file, bytes, size);
}
void* mmap64(void* at, size_t size, int protection, int flags, int file, off64_t offset) {
  if (file >= 0 && !of_the_system(file) && fails("read")) return reinterpret_cast<void*>(-1);
  return next<void* (*)(void*, size_t, int, int, int, off64_t)>("mmap64")(at, size, protection, flags, file, offset);
}
void* mmap(void* at, size_t size, int protection, int flags, int file, off_t offset) {
  if (file >= 0 && !of_the_system(file) && fails("read")) return reinterpret_cast<void*>(-1);
  return next<void* (*)(void*, size_t, int, int, int, off_t)>("mmap")(at, size, protection, flags, file, offset);
}
ssize_t write(int file, const void* bytes, size_t size) {
  return fails("write") ? -1 : next<ssize_t (*)(int, const void*, size_t)>("write")(file, bytes, size);
}
int rename(const char* from, const char* to) {
  return fails("rename") ? -1 : next<int (*)(const char*, const char*)>("rename")(from, to);
}
int link(const char* from, const char* to) {
  return fails("rename") ? -1 : next<int (*)(const char*, const char*)>("link")(from, to);
}
int fsync(int file) {
  return fails("sync") ? -1 : next<int (*)(int)>("fsync")(file);
}
}
