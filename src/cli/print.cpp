// SPDX-License-Identifier: Apache-2.0
#include "src/cli/print.h"

#include <c10/util/Exception.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <system_error>

#include "src/base/readable.h"

namespace vene::cli {
namespace {

bool reader_left() {
  pollfd state{STDOUT_FILENO, POLLOUT, 0};
  return poll(&state, 1, 0) == 1 && (state.revents & (POLLERR | POLLHUP)) != 0;
}

std::string of_file_system(const std::filesystem::filesystem_error& error) {
  const std::string path = error.path1().string();
  return "cannot use " + (path.empty() ? std::string("a file or folder") : "'" + shortened(path) + "'") + ": " +
         error.code().message();
}

// What LibTorch says of memory that it did not get, with how much it was.
std::string out_of_memory(const std::string& message) {
  const std::string before = "you tried to allocate ";
  const std::size_t at = message.find(before);
  if (at == std::string::npos) return "out of memory";
  std::string bytes;
  for (std::size_t i = at + before.size(); i < message.size() && std::isdigit(static_cast<unsigned char>(message[i]));
       ++i)
    bytes += message[i];
  return "out of memory" + (bytes.empty() ? "" : ": " + bytes + " bytes were wanted at once");
}

}  // namespace

bool say(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) || reader_left();
}

std::string sentence_of(const std::exception& error) {
  std::string what = error.what();
  if (const auto* torch = dynamic_cast<const c10::Error*>(&error)) what = torch->what_without_backtrace();
  if (const auto* files = dynamic_cast<const std::filesystem::filesystem_error*>(&error)) return of_file_system(*files);
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return "out of memory";
  if (dynamic_cast<const std::length_error*>(&error) != nullptr)
    return "out of memory: something is larger than any memory";
  // oneDNN says no more than this when it has no memory for a kernel.
  if (what.find("can't allocate memory") != std::string::npos || what.find("out of memory") != std::string::npos ||
      what.find("could not create a primitive") != std::string::npos)
    return out_of_memory(what);
  // The first line says what is wrong.
  const std::string line = shortened(what.substr(0, what.find('\n')), 300);
  return dynamic_cast<const c10::Error*>(&error) != nullptr
             ? line
             : "an error that should not have come up (" + line + "); please report it";
}

}  // namespace vene::cli
