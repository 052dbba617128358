// SPDX-License-Identifier: Apache-2.0
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#include "vene/io/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>
#include <vector>

#include "src/io/atomic_file.h"
#include "src/io/failure.h"
#include "src/io/mapped_file.h"

namespace vene::io {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read and written as it lies in memory");

constexpr std::string_view kMagic = "GGUF", kPrefix = "direction.";
constexpr std::uint32_t kVersion = 3, kUint32 = 4, kInt32 = 5, kString = 8, kArray = 9, kUint64 = 10, kInt64 = 11,
                        kLastType = 12;
constexpr std::uint32_t kF32 = 0, kF16 = 1;
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::int64_t kMostLayers = 100'000;

// Bytes of a value of each fixed-size type.
constexpr std::size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

class Reader {
 public:
  Reader(const std::string& path, std::string_view bytes) : path_(path), bytes_(bytes) {}

  std::string_view take(std::uint64_t size, const std::string& what) {
    if (size > bytes_.size() - at_) {
      fail(path_, "ends at byte " + std::to_string(bytes_.size()) + " inside " + what + ": it was cut or is damaged");
    }
    const std::string_view piece = bytes_.substr(at_, size);
    at_ += size;
    return piece;
  }
  template <class T>
  T number(const std::string& what) {
    T value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }
  std::string_view text(const std::string& what) { return take(number<std::uint64_t>(what), what); }
  /// A count of things that take at least `each` bytes, so that a damaged one cannot ask for much.
  std::uint64_t count(std::uint64_t each, const std::string& what) {
    return bounded(number<std::uint64_t>(what), each, what);
  }
  std::uint64_t bounded(std::uint64_t value, std::uint64_t each, const std::string& what) const {
    if (value > (bytes_.size() - at_) / each)
      fail(path_, what + " is " + std::to_string(value) + ", more than the file has room for");
    return value;
  }
  /// Passes over a value; an array's elements too, but not arrays of arrays without end.
  void skip(std::uint32_t type, const std::string& what, int depth = 0) {
    if (type > kLastType) fail(path_, what + " is of the unknown type " + std::to_string(type));
    if (type == kString) {
      text(what);
    } else if (type == kArray) {
      if (depth > 2) fail(path_, what + " is an array nested too deep");
      const auto element = number<std::uint32_t>(what);
      if (element > kLastType) fail(path_, what + " is an array of the unknown type " + std::to_string(element));
      const std::uint64_t size =
          count(std::max<std::size_t>(kSizes[element], 8 * (kSizes[element] == 0)), "the length of " + what);
      if (kSizes[element] > 0) {
        take(size * kSizes[element], what);
      } else {
        for (std::uint64_t i = 0; i < size; ++i) skip(element, what, depth + 1);
      }
    } else {
      take(kSizes[type], what);
    }
  }
  /// An integer of any width.
  std::uint64_t integer(std::uint32_t type, const std::string& what) {
    switch (type) {
      case kUint32:
        return number<std::uint32_t>(what);
      case kInt32:
        return non_negative(number<std::int32_t>(what), what);
      case kUint64:
        return number<std::uint64_t>(what);
      case kInt64:
        return non_negative(number<std::int64_t>(what), what);
      default:
        fail(path_, what + " is not an integer");
    }
  }
  std::size_t at() const { return at_; }

 private:
  std::uint64_t non_negative(std::int64_t value, const std::string& what) const {
    if (value < 0) fail(path_, what + " is negative");
    return static_cast<std::uint64_t>(value);
  }
  const std::string& path_;
  std::string_view bytes_;
  std::size_t at_ = 0;
};

struct Entry {
  std::int64_t layer;
  std::uint64_t width, offset;
  std::uint32_t type;
};

std::int64_t layer_of(const std::string& path, std::string_view name) {
  const std::string_view digits = name.substr(std::min(name.size(), kPrefix.size()));
  const bool number = name.starts_with(kPrefix) && !digits.empty() && digits.size() < 7 &&
                      digits.find_first_not_of("0123456789") == std::string_view::npos;
  const std::int64_t layer = number ? std::stoll(std::string(digits)) : -1;
  if (layer < 0 || layer > kMostLayers)
    fail(path, "tensor " + in_quotes(name) + " is no part of a control vector; expected names such as 'direction.3'");
  return layer;
}

Entry read_entry(Reader& reader, const std::string& path) {
  const std::string_view name = reader.text("a tensor's name");
  const std::string what = "tensor " + in_quotes(name);
  Entry entry{layer_of(path, name), 0, 0, 0};
  const auto dimensions = reader.number<std::uint32_t>(what);
  if (dimensions != 1) fail(path, what + " has " + std::to_string(dimensions) + " dimensions; a direction has 1");
  entry.width = reader.number<std::uint64_t>(what);
  entry.type = reader.number<std::uint32_t>(what);
  if (entry.type != kF32 && entry.type != kF16)
    fail(path, what + " is of type " + std::to_string(entry.type) + "; expected F32 (0) or F16 (1)");
  entry.offset = reader.number<std::uint64_t>(what);
  return entry;
}

// Many directions in the same bytes would make a small file take any amount of memory.
void check_apart(const std::string& path, std::vector<Entry> entries) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.offset < b.offset; });
  for (std::size_t i = 1; i < entries.size(); ++i) {
    const Entry &before = entries[i - 1], &entry = entries[i];
    if (entry.layer != before.layer && entry.offset - before.offset < before.width * (before.type == kF32 ? 4 : 2)) {
      fail(path, "tensor 'direction." + std::to_string(entry.layer) + "' overlaps tensor 'direction." +
                     std::to_string(before.layer) + "'");
    }
  }
}

}  // namespace

ControlVector read_control_vector(const std::string& path) {
  const auto file = MappedFile::open(path);
  refuse_lfs_pointer(path, file->bytes());
  Reader reader(path, file->bytes());
  if (!file->bytes().starts_with(kMagic)) fail(path, "is not a GGUF file: it does not start with 'GGUF'");
  reader.take(kMagic.size(), "its first bytes");
  const auto version = reader.number<std::uint32_t>("the version");
  if (version < 2 || version > kVersion)
    fail(path, "is GGUF of version " + std::to_string(version) + "; expected 2 or 3, little-endian");
  const std::uint64_t tensors = reader.count(8 + 4 + 8 + 4 + 8, "the number of tensors");
  const std::uint64_t pairs =
      reader.bounded(reader.number<std::uint64_t>("the number of keys"), 8 + 4 + 1, "the number of keys");
  ControlVector vector;
  std::string architecture;
  std::uint64_t alignment = kDefaultAlignment;
  std::unordered_set<std::string_view> keys;
  for (std::uint64_t i = 0; i < pairs; ++i) {
    const std::string_view key = reader.text("a key's name");
    const std::string what = "key " + in_quotes(key);
    if (!keys.insert(key).second) fail(path, what + " is there twice");
    const auto type = reader.number<std::uint32_t>(what);
    const bool wants_text = key == "general.architecture" || key == "controlvector.model_hint";
    if (wants_text && type != kString) fail(path, what + " is not a text");
    if (key == "general.architecture") {
      architecture = reader.text(what);
    } else if (key == "controlvector.model_hint") {
      vector.model_hint = reader.text(what);
    } else if (key == "general.alignment") {
      alignment = reader.integer(type, what);
      if (alignment < 8 || alignment > (1U << 20) || !std::has_single_bit(alignment))
        fail(path, what + " is " + std::to_string(alignment) + "; expected a power of two from 8 on");
    } else {
      reader.skip(type, what);
    }
  }
  if (architecture != "controlvector") {
    fail(path,
         "is a GGUF file of architecture " + in_quotes(architecture) + ", not a control vector (\"controlvector\")");
  }
  std::vector<Entry> entries;
  for (std::uint64_t i = 0; i < tensors; ++i) entries.push_back(read_entry(reader, path));
  if (entries.empty()) fail(path, "has no directions");
  const std::uint64_t begin = (reader.at() + alignment - 1) / alignment * alignment, size = file->size();
  for (const Entry& entry : entries) {
    const std::string what = "tensor 'direction." + std::to_string(entry.layer) + "'";
    if (entry.width != entries[0].width || entry.width == 0) {
      fail(path, what + " is " + std::to_string(entry.width) + " wide, tensor 'direction." +
                     std::to_string(entries[0].layer) + "' " + std::to_string(entries[0].width));
    }
    if (entry.offset % alignment != 0)
      fail(path, what + " starts at byte " + std::to_string(entry.offset) + ", not at a multiple of " +
                     std::to_string(alignment));
    const std::uint64_t each = entry.type == kF32 ? 4 : 2;
    if (begin > size || entry.offset > size - begin || entry.width > (size - begin - entry.offset) / each)
      fail(path, what + " reaches beyond the end of the file: it was cut or is damaged");
  }
  check_apart(path, entries);
  for (const Entry& entry : entries) {
    const std::string what = "tensor 'direction." + std::to_string(entry.layer) + "'";
    const auto dtype = entry.type == kF32 ? torch::kFloat32 : torch::kFloat16;
    const torch::Tensor view =
        torch::from_blob(file->data() + begin + entry.offset, {static_cast<std::int64_t>(entry.width)}, dtype);
    torch::Tensor direction = entry.type == kF32 ? view.clone() : view.to(torch::kFloat32);
    if (!vector.directions.emplace(entry.layer, std::move(direction)).second) fail(path, what + " is there twice");
  }
  return vector;
}

namespace {

class Writer {
 public:
  template <class T>
  void number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view value) {
    number<std::uint64_t>(value.size());
    bytes_ += value;
  }
  void text_pair(std::string_view key, std::string_view value) {
    text(key);
    number(kString);
    text(value);
  }
  void align() { bytes_.append((kDefaultAlignment - bytes_.size() % kDefaultAlignment) % kDefaultAlignment, '\0'); }
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace

void write_control_vector(const std::string& path, const ControlVector& vector) {
  if (vector.directions.empty()) fail(path, "a control vector needs at least one direction");
  const std::int64_t width = vector.directions.begin()->second.numel();
  for (const auto& [layer, direction] : vector.directions) {
    const std::string what = "the direction of layer " + std::to_string(layer);
    if (layer < 1 || layer > kMostLayers) fail(path, what + " cannot be written: the format counts layers from 1");
    if (!direction.defined() || direction.dim() != 1 || direction.numel() != width || width == 0)
      fail(path, what + " is not [" + std::to_string(width) + "], as that of the first layer is");
  }
  Writer writer;
  writer.bytes() += kMagic;
  writer.number(kVersion);
  writer.number<std::uint64_t>(vector.directions.size());
  writer.number<std::uint64_t>(3);
  writer.text_pair("general.architecture", "controlvector");
  writer.text_pair("controlvector.model_hint", vector.model_hint);
  writer.text("controlvector.layer_count");
  writer.number(kInt32);
  writer.number(static_cast<std::int32_t>(vector.directions.size()));
  const std::uint64_t bytes = static_cast<std::uint64_t>(width) * sizeof(float);
  const std::uint64_t step = (bytes + kDefaultAlignment - 1) / kDefaultAlignment * kDefaultAlignment;
  std::uint64_t offset = 0;
  for (const auto& [layer, direction] : vector.directions) {
    writer.text(std::string(kPrefix) + std::to_string(layer));
    writer.number<std::uint32_t>(1);
    writer.number(static_cast<std::uint64_t>(width));
    writer.number(kF32);
    writer.number(offset);
    offset += step;
  }
  for (const auto& [layer, direction] : vector.directions) {
    writer.align();
    const torch::Tensor plain = direction.detach().to(torch::kCPU, torch::kFloat32).contiguous();
    writer.bytes().append(static_cast<const char*>(plain.const_data_ptr()), bytes);
  }
  writer.align();
  AtomicFile file(path);
  file.write(writer.bytes());
  file.finish();
}

}  // namespace vene::io
