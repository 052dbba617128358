// SPDX-License-Identifier: Apache-2.0
// Threads that have nothing to do wait asleep.
//
// libgomp's threads wait awake by default, for some milliseconds at each end of a parallel region. On a machine that
// does something else as well they take the processor from the thread that they wait for, and a job takes 2 to 80 times
// as long. libgomp reads OMP_WAIT_POLICY in its constructor, before any constructor of this program, and libc sets
// `environ` anew after that; so the program starts itself again with the variable set, from .preinit_array: LibTorch is
// mapped by then, but none of its constructors has run, and that costs some milliseconds. Where the variable is set
// already, also by the first start, nothing happens; whoever wants the default sets OMP_WAIT_POLICY=active or
// GOMP_SPINCOUNT.
#include <unistd.h>

#include <cstddef>

// The sanitizers start up at the same place, and nothing instrumented may run before them.
#if defined(__ELF__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
namespace {

bool begins_with(const char* text, const char* prefix) {
  while (*prefix != '\0') {
    if (*text++ != *prefix++) return false;
  }
  return true;
}

void start_again_with_sleeping_threads(int /*count*/, char** arguments, char** environment) {
  constexpr std::size_t kMost = 4096;
  static char* with_policy[kMost + 2];
  static char policy[] = "OMP_WAIT_POLICY=passive";
  static char program[4096];
  std::size_t variables = 0;
  for (; environment[variables] != nullptr; ++variables) {
    if (variables == kMost || begins_with(environment[variables], "OMP_WAIT_POLICY=") ||
        begins_with(environment[variables], "GOMP_SPINCOUNT="))
      return;
    with_policy[variables] = environment[variables];
  }
  with_policy[variables] = policy;
  // By its own path, so that ps and top show its name.
  const ssize_t length = ::readlink("/proc/self/exe", program, sizeof program - 1);
  if (length <= 0 || arguments[0] == nullptr) return;
  ::execve(program, arguments, with_policy);
  // Where that is not possible, it goes on as it is.
}

__attribute__((section(".preinit_array"), used)) void (*const at_start)(int, char**,
                                                                        char**) = start_again_with_sleeping_threads;

}  // namespace
#endif
