// SPDX-License-Identifier: Apache-2.0
#include "vene/io/npz.h"

#include <ATen/ops/empty.h>

#include <cstring>

#include "src/io/failure.h"
#include "src/io/inflate.h"
#include "src/io/mapped_file.h"
#include "src/io/zip.h"

namespace vene::io {
namespace {

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
  const std::uint64_t length = little_endian(npy, 8, wide ? 4 : 2);
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
  for (const ZipMember& member : zip.members()) {
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
