// SPDX-License-Identifier: Apache-2.0
#include "unit/cli/terminal_child.h"

#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

#include "tests/places.h"

namespace vene_test {

TerminalChild::TerminalChild(const std::vector<std::string>& arguments, const Surroundings& surroundings, int columns) {
  const std::string program = program_path("vene");
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  winsize size{};
  size.ws_col = static_cast<unsigned short>(columns);
  size.ws_row = 50;
  child_ = forkpty(&terminal_, nullptr, nullptr, &size);
  if (child_ < 0) throw std::runtime_error("cannot start a process on a terminal");
  if (child_ > 0) return;
  if (chdir(surroundings.folder.empty() ? kSourceFolder : surroundings.folder.c_str()) != 0) _exit(126);
  for (const char* name : {"VENE_MODEL", "VENE_DEVICE", "VENE_THREADS", "NO_COLOR", "COLORTERM", "COLUMNS"})
    unsetenv(name);
  setenv("OMP_NUM_THREADS", "1", 1);
  setenv("TERM", "xterm-256color", 1);
  for (const auto& [name, value] : surroundings.environment)
    value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_DFL);
  execv(program.c_str(), argv.data());
  _exit(127);
}

TerminalChild::~TerminalChild() {
  if (status_ < 0) {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  close(terminal_);
}

bool TerminalChild::read_some(int milliseconds) {
  pollfd state{terminal_, POLLIN, 0};
  if (poll(&state, 1, milliseconds) <= 0) return true;
  char piece[4096];
  const ssize_t count = read(terminal_, piece, sizeof piece);
  if (count <= 0) {  // nobody has it open any more
    open_ = false;
    return false;
  }
  shown_.append(piece, static_cast<std::size_t>(count));
  return true;
}

bool TerminalChild::saw(const std::string& text) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (shown_.find(text) == std::string::npos) {
    if (std::chrono::steady_clock::now() > end || !read_some(200)) return shown_.find(text) != std::string::npos;
  }
  return true;
}

void TerminalChild::press_control_c() {
  if (write(terminal_, "\x03", 1) != 1) throw std::runtime_error("cannot write to the terminal");
}

void TerminalChild::send(int signal) {
  kill(child_, signal);
}

int TerminalChild::status() {
  if (status_ >= 0) return status_;
  int status = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(120);
  for (;;) {
    const bool gone = waitpid(child_, &status, WNOHANG) == child_;
    while (open_ && gone && read_some(0)) {
      pollfd state{terminal_, POLLIN, 0};
      if (poll(&state, 1, 0) <= 0) break;
    }
    if (gone) break;
    if (std::chrono::steady_clock::now() > end) throw std::runtime_error("the command does not end");
    open_ ? void(read_some(100)) : void(usleep(20000));
  }
  return status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace vene_test
