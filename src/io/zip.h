// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vene::io {

/// One entry of a zip file's directory.
struct ZipMember {
  std::string name;
  std::uint64_t method = 0, packed = 0, size = 0, header = 0;  ///< header: offset of the local one
};

/// Reads the directory of a zip file, of zip64 too. Nothing in it is trusted. IoError with the path.
class Zip {
 public:
  Zip(const std::string& path, std::string_view bytes) : path_(path), bytes_(bytes) {}

  /// Refuses members that together unfold to far more than the file has bytes: deflate packs a gigabyte of zeros into a
  /// megabyte, and members may share their bytes.
  std::vector<ZipMember> members() const;
  std::string_view content(const ZipMember& member) const;

 private:
  void need(std::uint64_t at, std::uint64_t size) const;
  void widen(ZipMember& member, std::string_view extra) const;

  const std::string& path_;
  std::string_view bytes_;
};

/// How many bytes of values a file of so many bytes may stand for, by packing them or by naming some of them several
/// times: 32 times its own and 64 MiB besides.
std::uint64_t most_unfolded(std::uint64_t file_bytes);

/// An unsigned little-endian integer of `size` bytes.
std::uint64_t little_endian(std::string_view bytes, std::size_t at, int size);

}  // namespace vene::io
