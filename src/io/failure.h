// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <string_view>

namespace vene::io {

/// A name as a message may show it: in quotes, control characters as \xNN, cut where it is absurdly long. Names come
/// out of files, so they may hold anything.
std::string in_quotes(std::string_view name);

/// Throws IoError: "'path': what".
[[noreturn]] void fail(const std::string& path, const std::string& what);

/// Throws IoError: "cannot <verb> 'path': <what errno says>".
[[noreturn]] void fail_with_errno(const std::string& verb, const std::string& path, int error_number);

/// Throws IoError if the bytes are a Git LFS pointer, which is what a clone without LFS leaves in place of a
/// checkpoint.
void refuse_lfs_pointer(const std::string& path, std::string_view bytes);

}  // namespace vene::io
