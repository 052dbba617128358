// SPDX-License-Identifier: Apache-2.0
#include "src/cli/stop.h"

#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <string_view>

namespace vene::cli {
namespace {

struct Handled {
  int signal;
  const char* name;
  struct sigaction before;
};
std::array<Handled, 3> handled{{{SIGINT, "SIGINT", {}}, {SIGTERM, "SIGTERM", {}}, {SIGHUP, "SIGHUP", {}}}};

std::atomic<int> came{0};
std::atomic<long long> came_at{0};  // milliseconds
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<long long>::is_always_lock_free,
              "a signal handler may not wait for a lock");

long long now_in_milliseconds() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<long long>(time.tv_sec) * 1000 + time.tv_nsec / 1000000;
}

void on_signal(int signal) {
  const int error = errno;
  if (came == 0) {
    came_at = now_in_milliseconds();
    came = signal;
    constexpr std::string_view kText = "\nvene: stopping; once more ends it at once\n";
    if (::isatty(STDERR_FILENO) == 1) (void)!::write(STDERR_FILENO, kText.data(), kText.size());
  } else if (now_in_milliseconds() - came_at > 300) {
    // Not sooner: `timeout` and some schedulers send one signal twice, to the process and to its group.
    ::_exit(128 + signal);
  }
  errno = error;
}

}  // namespace

Interruptible::Interruptible() {
  came = 0;
  for (Handled& one : handled) {
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(one.signal, nullptr, &one.before);
    if (one.before.sa_handler != SIG_IGN) ::sigaction(one.signal, &action, nullptr);
  }
}

Interruptible::~Interruptible() {
  for (const Handled& one : handled) ::sigaction(one.signal, &one.before, nullptr);
}

bool Interruptible::asked() {
  return came != 0;
}

void Interruptible::check(const std::string& left) {
  if (!asked()) return;
  std::string name = "a signal";
  for (const Handled& one : handled) {
    if (one.signal == came) name = one.name;
  }
  throw Stopped("stopped by " + name + "; " + left);
}

}  // namespace vene::cli
