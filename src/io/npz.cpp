// SPDX-License-Identifier: Apache-2.0
#include "vene/io/npz.h"

#include <ATen/ops/empty.h>

#include <cstring>

#include "src/io/failure.h"
#include "src/io/inflate.h"
#include "src/io/mapped_file.h"

namespace vene::io {
namespace {

std::uint64_t number(std::string_view bytes, std::size_t at, int size) {
  std::uint64_t value = 0;
  for (int i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(i)]);
  return value;
}

struct Member {
  std::string name;
  std::uint64_t method, packed, size, header;  // header: offset of the local one
};

class Zip {
 public:
  Zip(const std::string& path, std::string_view bytes) : path_(path), bytes_(bytes) {}

  std::vector<Member> members() const {
    constexpr std::size_t kEnd = 22;
    std::size_t end = bytes_.rfind("PK\5\6");
    if (end == std::string_view::npos || end + kEnd > bytes_.size()) fail(path_, "is not a zip file, or is cut");
    std::uint64_t count = number(bytes_, end + 10, 2);
    std::uint64_t at = number(bytes_, end + 16, 4);
    if (end >= 20 && bytes_.substr(end - 20, 4) == "PK\6\7") {  // zip64
      const std::uint64_t wide = number(bytes_, end - 12, 8);
      need(wide, 56);
      count = number(bytes_, wide + 32, 8);
      at = number(bytes_, wide + 48, 8);
    }
    std::vector<Member> members;
    for (std::uint64_t i = 0; i < count; ++i) {
      need(at, 46);
      if (bytes_.substr(at, 4) != "PK\1\2") fail(path_, "has a damaged zip directory");
      Member member{"", number(bytes_, at + 10, 2), number(bytes_, at + 20, 4), number(bytes_, at + 24, 4),
                    number(bytes_, at + 42, 4)};
      const std::uint64_t name = number(bytes_, at + 28, 2);
      const std::uint64_t extra = number(bytes_, at + 30, 2);
      need(at, 46 + name + extra);
      member.name = std::string(bytes_.substr(at + 46, name));
      widen(member, bytes_.substr(at + 46 + name, extra));
      at += 46 + name + extra + number(bytes_, at + 32, 2);
      members.push_back(std::move(member));
    }
    return members;
  }

  std::string_view content(const Member& member) const {
    need(member.header, 30);
    const std::uint64_t start =
        member.header + 30 + number(bytes_, member.header + 26, 2) + number(bytes_, member.header + 28, 2);
    need(start, member.packed);
    return bytes_.substr(start, member.packed);
  }

 private:
  void need(std::uint64_t at, std::uint64_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at) fail(path_, "is a cut or damaged zip file");
  }
  // Sizes that do not fit 32 bits stand in an extra field.
  void widen(Member& member, std::string_view extra) const {
    for (std::size_t at = 0; at + 4 <= extra.size();) {
      const std::uint64_t kind = number(extra, at, 2);
      const std::uint64_t size = number(extra, at + 2, 2);
      if (size > extra.size() - at - 4) fail(path_, "has a damaged zip directory");
      std::size_t place = at + 4;
      for (std::uint64_t* field : {&member.size, &member.packed, &member.header}) {
        if (kind != 1 || *field != 0xffffffffU || place + 8 > at + 4 + size) continue;
        *field = number(extra, place, 8);
        place += 8;
      }
      at += 4 + size;
    }
  }
  const std::string& path_;
  std::string_view bytes_;
};

torch::ScalarType dtype_of(const std::string& path, const std::string& where, std::string_view code) {
  const char order = code.empty() ? '?' : code[0];
  const std::string_view kind = code.empty() ? code : code.substr(1);
  if (order == '<' || order == '|' || order == '=') {
    if (kind == "f4") return torch::kFloat32;
    if (kind == "f8") return torch::kFloat64;
    if (kind == "f2") return torch::kFloat16;
    if (kind == "i8") return torch::kInt64;
    if (kind == "i4") return torch::kInt32;
    if (kind == "i2") return torch::kInt16;
    if (kind == "i1") return torch::kInt8;
    if (kind == "u1") return torch::kUInt8;
    if (kind == "b1") return torch::kBool;
  }
  fail(path, where + " has dtype " + in_quotes(code) + ", expected little-endian floats or integers");
}

torch::Tensor array(const std::string& path, const std::string& name, std::string_view npy) {
  const std::string where = "array " + in_quotes(name);
  auto damaged = [&](const char* what) { fail(path, where + " is damaged: " + what); };
  if (npy.size() < 12 || npy.substr(0, 6) != "\x93NUMPY") damaged("no numpy header");
  const bool wide = npy[6] >= 2;
  const std::size_t start = wide ? 12 : 10;
  const std::uint64_t length = number(npy, 8, wide ? 4 : 2);
  if (length > npy.size() - start) damaged("its header is cut");
  const std::string_view header = npy.substr(start, length);
  auto after = [&](std::string_view key) {
    const std::size_t at = header.find(key);
    if (at == std::string_view::npos) damaged("its header lacks a key");
    return at + key.size();
  };
  const std::size_t code = header.find('\'', after("'descr':"));
  const std::size_t code_end = code == std::string_view::npos ? code : header.find('\'', code + 1);
  if (code_end == std::string_view::npos) damaged("its dtype is not a plain one");
  const torch::ScalarType dtype = dtype_of(path, where, header.substr(code + 1, code_end - code - 1));
  const bool fortran =
      header.substr(after("'fortran_order':")).find("True") < header.substr(after("'fortran_order':")).find(',');
  const std::size_t open = header.find('(', after("'shape':"));
  const std::size_t close = open == std::string_view::npos ? open : header.find(')', open);
  if (close == std::string_view::npos) damaged("its header has no shape");
  std::vector<std::int64_t> shape;
  std::uint64_t count = 1;
  for (std::size_t at = open + 1; at < close;) {
    if (header[at] < '0' || header[at] > '9') {
      ++at;
      continue;
    }
    std::uint64_t size = 0;
    for (; at < close && header[at] >= '0' && header[at] <= '9'; ++at) {
      size = size * 10 + static_cast<std::uint64_t>(header[at] - '0');
      if (size > npy.size()) damaged("its shape is larger than its data");
    }
    shape.push_back(static_cast<std::int64_t>(size));
    count = size == 0 ? 0 : count > npy.size() / size ? npy.size() + 1 : count * size;
  }
  const std::size_t data = start + length;
  if (count * c10::elementSize(dtype) != npy.size() - data) damaged("its shape does not match its data");
  if (fortran) std::reverse(shape.begin(), shape.end());
  torch::Tensor tensor = torch::empty(shape, dtype);
  if (count > 0) std::memcpy(tensor.data_ptr(), npy.data() + data, npy.size() - data);
  if (!fortran) return tensor;
  std::vector<std::int64_t> axes(shape.size());
  for (std::size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<std::int64_t>(axes.size() - 1 - i);
  return tensor.permute(axes).contiguous();
}

}  // namespace

NamedTensors read_npz(const std::string& path) {
  const auto file = MappedFile::open(path);
  refuse_lfs_pointer(path, file->bytes());
  const Zip zip(path, file->bytes());
  NamedTensors tensors;
  for (const Member& member : zip.members()) {
    std::string name = member.name;
    if (name.ends_with(".npy")) name.resize(name.size() - 4);
    const std::string_view packed = zip.content(member);
    if (member.method == 0) {
      tensors.emplace_back(name, array(path, name, packed));
      continue;
    }
    // Deflate packs at most 1032 to 1: a size beyond that is a lie, and not worth the memory.
    if (member.method != 8 || member.size / 1032 > packed.size())
      fail(path,
           "array " + in_quotes(name) + " is packed in a way that is not read here; use savez or savez_compressed");
    const std::optional<std::string> plain = inflate(packed, member.size);
    if (!plain) fail(path, "array " + in_quotes(name) + " is damaged: its packed data does not unfold");
    tensors.emplace_back(name, array(path, name, *plain));
  }
  return tensors;
}

}  // namespace vene::io
