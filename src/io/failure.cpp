// SPDX-License-Identifier: Apache-2.0
#include "src/io/failure.h"

#include <system_error>

#include "vene/base/error.h"

namespace vene::io {

std::string in_quotes(std::string_view name) {
  constexpr std::size_t kShown = 160;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "'";
  for (const char c : name.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      text += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      text += c;
    }
  }
  if (name.size() > kShown) text += "...";
  return text + "'";
}

void fail(const std::string& path, const std::string& what) {
  throw IoError(in_quotes(path) + ": " + what);
}

void fail_with_errno(const std::string& verb, const std::string& path, int error_number) {
  throw IoError("cannot " + verb + " " + in_quotes(path) + ": " + std::generic_category().message(error_number));
}

void refuse_lfs_pointer(const std::string& path, std::string_view bytes) {
  if (bytes.starts_with("version https://git-lfs")) {
    fail(path, "is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'");
  }
}

}  // namespace vene::io
