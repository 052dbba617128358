// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "vene/io/files.h"

namespace vene_test {

/// A folder of a test's own, gone with it.
class TestFolder : public vene::io::TemporaryFolder {
 public:
  TestFolder() : TemporaryFolder("vene-test") {}
  std::string operator/(const std::string& name) const { return path() + "/" + name; }
  /// Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(*this / name, std::ios::binary) << bytes;
    return *this / name;
  }
  std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(path()), std::filesystem::directory_iterator()));
  }
};

}  // namespace vene_test
