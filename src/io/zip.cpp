// SPDX-License-Identifier: Apache-2.0
#include "src/io/zip.h"

#include "src/io/failure.h"

namespace vene::io {

std::uint64_t most_unfolded(std::uint64_t file_bytes) {
  return 32 * file_bytes + (std::uint64_t{64} << 20);
}

std::uint64_t little_endian(std::string_view bytes, std::size_t at, int size) {
  std::uint64_t value = 0;
  for (int i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(i)]);
  return value;
}

void Zip::need(std::uint64_t at, std::uint64_t size) const {
  if (at > bytes_.size() || size > bytes_.size() - at) fail(path_, "is a cut or damaged zip file");
}

// Sizes that do not fit 32 bits stand in an extra field.
void Zip::widen(ZipMember& member, std::string_view extra) const {
  for (std::size_t at = 0; at + 4 <= extra.size();) {
    const std::uint64_t kind = little_endian(extra, at, 2);
    const std::uint64_t size = little_endian(extra, at + 2, 2);
    if (size > extra.size() - at - 4) fail(path_, "has a damaged zip directory");
    std::size_t place = at + 4;
    for (std::uint64_t* field : {&member.size, &member.packed, &member.header}) {
      if (kind != 1 || *field != 0xffffffffU || place + 8 > at + 4 + size) continue;
      *field = little_endian(extra, place, 8);
      place += 8;
    }
    at += 4 + size;
  }
}

std::vector<ZipMember> Zip::members() const {
  constexpr std::size_t kEnd = 22;
  const std::size_t end = bytes_.rfind("PK\5\6");
  if (end == std::string_view::npos || end + kEnd > bytes_.size())
    fail(path_, "is not a zip file, or a cut or damaged archive");
  std::uint64_t count = little_endian(bytes_, end + 10, 2);
  std::uint64_t at = little_endian(bytes_, end + 16, 4);
  if (end >= 20 && bytes_.substr(end - 20, 4) == "PK\6\7") {  // zip64
    const std::uint64_t wide = little_endian(bytes_, end - 12, 8);
    need(wide, 56);
    count = little_endian(bytes_, wide + 32, 8);
    at = little_endian(bytes_, wide + 48, 8);
  }
  std::vector<ZipMember> members;
  const std::uint64_t most = most_unfolded(bytes_.size());
  std::uint64_t unfolded = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    need(at, 46);
    if (bytes_.substr(at, 4) != "PK\1\2") fail(path_, "has a damaged zip directory");
    ZipMember member{"", little_endian(bytes_, at + 10, 2), little_endian(bytes_, at + 20, 4),
                     little_endian(bytes_, at + 24, 4), little_endian(bytes_, at + 42, 4)};
    const std::uint64_t name = little_endian(bytes_, at + 28, 2);
    const std::uint64_t extra = little_endian(bytes_, at + 30, 2);
    need(at, 46 + name + extra);
    member.name = std::string(bytes_.substr(at + 46, name));
    widen(member, bytes_.substr(at + 46 + name, extra));
    if (member.size > most - unfolded) {
      fail(path_, "would unfold to more than " + std::to_string(most) + " bytes, which its " +
                      std::to_string(bytes_.size()) + " bytes do not hold honestly");
    }
    unfolded += member.size;
    at += 46 + name + extra + little_endian(bytes_, at + 32, 2);
    members.push_back(std::move(member));
  }
  return members;
}

std::string_view Zip::content(const ZipMember& member) const {
  need(member.header, 30);
  const std::uint64_t start =
      member.header + 30 + little_endian(bytes_, member.header + 26, 2) + little_endian(bytes_, member.header + 28, 2);
  need(start, member.packed);
  return bytes_.substr(start, member.packed);
}

}  // namespace vene::io
