// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

namespace vene::io {

/// What is at a path, links followed.
enum class Place { kNothing, kFile, kFolder, kOther };  // the last: a pipe, a device, a socket

/// Looks. IoError where a path leads nowhere that a file or a folder could be made at: an empty name, a link to
/// nothing, links in a loop, too long a name, a folder that may not be looked into.
Place look_at(const std::string& path);

}  // namespace vene::io
