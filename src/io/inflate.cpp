// SPDX-License-Identifier: Apache-2.0
#include "src/io/inflate.h"

#include <zlib.h>

#include <limits>

namespace vene::io {

std::optional<std::string> inflate(std::string_view data, std::size_t size) {
  constexpr std::size_t kMost = std::numeric_limits<uInt>::max();
  if (data.size() > kMost || size > kMost) return std::nullopt;
  std::string plain(size, '\0');
  z_stream stream{};
  constexpr int kNoHeader = -MAX_WBITS;
  if (inflateInit2(&stream, kNoHeader) != Z_OK) return std::nullopt;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(plain.data());
  stream.avail_out = static_cast<uInt>(size);
  const int status = ::inflate(&stream, Z_FINISH);
  const bool whole = status == Z_STREAM_END && stream.avail_out == 0;
  inflateEnd(&stream);
  if (!whole) return std::nullopt;
  return plain;
}

}  // namespace vene::io
