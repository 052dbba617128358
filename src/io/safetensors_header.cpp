// SPDX-License-Identifier: Apache-2.0
#include "src/io/safetensors_header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "src/io/failure.h"
#include "vene/base/names.h"

namespace vene::io {
namespace {

constexpr std::uint64_t kMostHeaderBytes = 100'000'000;  // the reference reader's limit
constexpr std::size_t kMostDimensions = 64;              // ATen's own limit in most operators

struct DtypeName {
  std::string_view name;
  torch::ScalarType dtype;
};
// In the order of the reference implementation's enumeration, by which it sorts.
constexpr std::array kDtypes{
    DtypeName{"BOOL", torch::kBool},
    DtypeName{"U8", torch::kUInt8},
    DtypeName{"I8", torch::kInt8},
    DtypeName{"F8_E5M2", torch::kFloat8_e5m2},
    DtypeName{"F8_E4M3", torch::kFloat8_e4m3fn},
    DtypeName{"F8_E8M0", torch::ScalarType::Float8_e8m0fnu},
    DtypeName{"F8_E4M3FNUZ", torch::ScalarType::Float8_e4m3fnuz},
    DtypeName{"F8_E5M2FNUZ", torch::ScalarType::Float8_e5m2fnuz},
    DtypeName{"I16", torch::kInt16},
    DtypeName{"U16", torch::kUInt16},
    DtypeName{"F16", torch::kFloat16},
    DtypeName{"BF16", torch::kBFloat16},
    DtypeName{"I32", torch::kInt32},
    DtypeName{"U32", torch::kUInt32},
    DtypeName{"F32", torch::kFloat32},
    DtypeName{"C64", torch::kComplexFloat},
    DtypeName{"F64", torch::kFloat64},
    DtypeName{"I64", torch::kInt64},
    DtypeName{"U64", torch::kUInt64},
};

std::vector<std::string> known_dtypes() {
  std::vector<std::string> names;
  for (const DtypeName& entry : kDtypes) names.emplace_back(entry.name);
  return names;
}

// Reads the JSON event by event. A document tree would keep the last of two equal names without a word, and would cost
// many times the header's size for one made to be hostile.
class HeaderEvents final : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderEvents(const std::string& path, SafetensorsHeader& header) : path_(path), header_(header) {}

  bool null() override { return scalar("null"); }
  bool boolean(bool) override { return scalar("a boolean"); }
  bool number_integer(number_integer_t) override { return scalar("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return scalar("a fraction"); }
  bool binary(binary_t&) override { return scalar("bytes"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (field_ != Field::kShape && field_ != Field::kOffsets) return scalar("a number");
    if (depth_ != 3 || !in_array_) refuse(field_name() + " must be a flat list of whole numbers");
    if (value > static_cast<number_unsigned_t>(INT64_MAX))
      refuse(field_name() + " holds " + std::to_string(value) + ", which is more than 63 bits");
    std::vector<std::int64_t>& list = field_ == Field::kShape ? info_.shape : offsets_;
    const std::size_t most = field_ == Field::kShape ? kMostDimensions : 2;
    if (list.size() == most) refuse(field_name() + " has more than " + std::to_string(most) + " entries");
    list.push_back(static_cast<std::int64_t>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (field_ == Field::kMetadata) {
      if (!header_.metadata.emplace(metadata_key_, value).second)
        fail(path_, "has the \"__metadata__\" entry " + in_quotes(metadata_key_) + " twice");
      return true;
    }
    if (field_ != Field::kDtype) return scalar("a string");
    const std::optional<torch::ScalarType> dtype = dtype_from_name(value);
    if (!dtype)
      refuse("has dtype " + in_quotes(value) + ", which LibTorch cannot hold or the format does not have" +
             name_hint(std::string_view(value).substr(0, 32), known_dtypes()));
    info_.dtype = *dtype;
    return true;
  }

  bool start_object(std::size_t) override {
    if (skipping()) return deeper();
    if (depth_ == 0 || (depth_ == 1 && !named_)) return open_object();
    return scalar("an object");
  }

  bool key(string_t& name) override {
    if (skipping() && depth_ > 2) return true;
    if (depth_ == 1) return begin_entry(name);
    if (in_metadata_) {
      metadata_key_ = name;
      field_ = Field::kMetadata;
      return true;
    }
    field_ = name == "dtype"          ? Field::kDtype
             : name == "shape"        ? Field::kShape
             : name == "data_offsets" ? Field::kOffsets
                                      : Field::kUnknown;
    if (field_ != Field::kUnknown) {
      bool& seen = seen_[static_cast<std::size_t>(field_)];
      if (seen) refuse("gives " + field_name() + " twice");
      seen = true;
    }
    return true;
  }

  bool end_object() override {
    --depth_;
    if (depth_ == 1) end_entry();
    return true;
  }

  bool start_array(std::size_t) override {
    if (skipping()) return deeper();
    if ((field_ != Field::kShape && field_ != Field::kOffsets) || depth_ != 2) return scalar("a list");
    in_array_ = true;
    return deeper();
  }

  bool end_array() override {
    --depth_;
    in_array_ = false;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail(path_, "has a header that is not valid JSON (near its byte " + std::to_string(position) + ")");
  }

 private:
  enum class Field { kDtype, kShape, kOffsets, kUnknown, kMetadata, kNone };

  // Fields that the format does not know are passed over, whatever they hold, as the reference reader does.
  bool skipping() const { return field_ == Field::kUnknown; }
  bool deeper() {
    ++depth_;
    return true;
  }

  bool open_object() {
    named_ = true;
    return deeper();
  }

  bool begin_entry(const std::string& name) {
    in_metadata_ = name == "__metadata__";
    if (!names_.insert(name).second)
      fail(path_, "has " + std::string(in_metadata_ ? "the entry " : "the tensor ") + in_quotes(name) + " twice");
    info_ = TensorInfo{name, torch::kFloat32, {}, 0, 0};
    offsets_.clear();
    seen_ = {};
    field_ = Field::kNone;
    named_ = false;
    return true;
  }

  void end_entry() {
    field_ = Field::kNone;
    if (in_metadata_) {
      in_metadata_ = false;
      return;
    }
    constexpr std::array kNames{"dtype", "shape", "data_offsets"};
    for (std::size_t i = 0; i < seen_.size(); ++i) {
      if (!seen_[i]) refuse(std::string("lacks \"") + kNames[i] + "\"");
    }
    if (offsets_.size() != 2) refuse("\"data_offsets\" must be two numbers, begin and end");
    info_.begin = offsets_[0];
    info_.end = offsets_[1];
    header_.tensors.push_back(std::move(info_));
  }

  // A value where it does not belong.
  bool scalar(const std::string& what) {
    if (skipping()) return true;
    if (depth_ == 0) fail(path_, "has a header that is " + what + ", not a JSON object");
    if (field_ == Field::kMetadata || (in_metadata_ && depth_ == 1))
      fail(path_, "has a \"__metadata__\" that is not an object of strings");
    if (field_ == Field::kNone) refuse("is " + what + ", not an object");
    refuse(field_name() + " is " + what + ", not " +
           (field_ == Field::kDtype ? "a string" : "a list of whole numbers"));
  }

  std::string field_name() const {
    return field_ == Field::kDtype ? "\"dtype\"" : field_ == Field::kShape ? "\"shape\"" : "\"data_offsets\"";
  }
  [[noreturn]] void refuse(const std::string& what) const {
    fail(path_, "tensor " + in_quotes(info_.name) + ": " + what);
  }

  const std::string& path_;
  SafetensorsHeader& header_;
  std::unordered_set<std::string> names_;
  std::size_t depth_ = 0;
  Field field_ = Field::kNone;
  bool named_ = false;  // the object of the entry at depth 1 was opened
  bool in_metadata_ = false, in_array_ = false;
  std::string metadata_key_;
  TensorInfo info_{};
  std::vector<std::int64_t> offsets_;
  std::array<bool, 3> seen_{};
};

void check_ranges(const std::string& path, SafetensorsHeader& header, std::int64_t data_size) {
  std::sort(header.tensors.begin(), header.tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::int64_t covered = 0;
  const TensorInfo* before = nullptr;
  for (const TensorInfo& info : header.tensors) {
    const std::string range = "bytes " + std::to_string(info.begin) + " to " + std::to_string(info.end);
    const std::string where = "tensor " + in_quotes(info.name) + ": ";
    if (info.end < info.begin) fail(path, where + "has its end before its begin (" + range + ")");
    if (info.end > data_size) {
      fail(path, where + "is at " + range + ", but the file holds " + std::to_string(data_size) +
                     " bytes of data; it was cut or is damaged");
    }
    const std::optional<std::int64_t> count = checked_product(info.shape);
    const auto width = static_cast<std::int64_t>(c10::elementSize(info.dtype));
    if (!count || *count > INT64_MAX / width)
      fail(path, where + "has a shape too large for 64 bits: " + shape_text(info.shape));
    if (*count * width != info.end - info.begin) {
      fail(path, where + "of dtype " + std::string(*dtype_name(info.dtype)) + " and shape " + shape_text(info.shape) +
                     " needs " + std::to_string(*count * width) + " bytes, but has " +
                     std::to_string(info.end - info.begin));
    }
    if (info.begin < covered) fail(path, where + "overlaps tensor " + in_quotes(before->name) + " (" + range + ")");
    if (info.begin > covered) {
      fail(path, where + "starts at byte " + std::to_string(info.begin) + ", but the data before it end at " +
                     std::to_string(covered));
    }
    covered = info.end;
    before = &info;
  }
  if (covered != data_size) {
    fail(path,
         "holds " + std::to_string(data_size) + " bytes of data, but its tensors take " + std::to_string(covered));
  }
}

}  // namespace

std::optional<torch::ScalarType> dtype_from_name(std::string_view name) {
  for (const DtypeName& entry : kDtypes) {
    if (entry.name == name) return entry.dtype;
  }
  return std::nullopt;
}

std::optional<std::string_view> dtype_name(torch::ScalarType dtype) {
  for (const DtypeName& entry : kDtypes) {
    if (entry.dtype == dtype) return entry.name;
  }
  return std::nullopt;
}

int dtype_rank(torch::ScalarType dtype) {
  for (std::size_t i = 0; i < kDtypes.size(); ++i) {
    if (kDtypes[i].dtype == dtype) return static_cast<int>(i);
  }
  return -1;
}

std::optional<std::int64_t> checked_product(const std::vector<std::int64_t>& shape) {
  // Zero sizes count as one in the check, because strides are products that pass over them.
  std::int64_t product = 1;
  bool empty = false;
  for (const std::int64_t size : shape) {
    if (size < 0) return std::nullopt;
    empty = empty || size == 0;
    if (__builtin_mul_overflow(product, std::max<std::int64_t>(size, 1), &product)) return std::nullopt;
  }
  return empty ? 0 : product;
}

SafetensorsHeader parse_safetensors_header(const std::string& path, std::string_view file) {
  refuse_lfs_pointer(path, file);
  std::uint64_t length = 0;
  if (file.size() < sizeof length)
    fail(path, "is no safetensors file: it has only " + std::to_string(file.size()) + " bytes");
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file's numbers and data are little-endian");
  std::memcpy(&length, file.data(), sizeof length);
  if (length > file.size() - sizeof length) {
    fail(path, "says that its header takes " + std::to_string(length) + " bytes, but only " +
                   std::to_string(file.size() - sizeof length) + " follow; it was cut or is no safetensors file");
  }
  if (length > kMostHeaderBytes) {
    fail(path, "has a header of " + std::to_string(length) + " bytes; at most " + std::to_string(kMostHeaderBytes) +
                   " are allowed");
  }
  const std::string_view text = file.substr(sizeof length, length);
  if (!text.starts_with('{')) fail(path, "has a header that does not start with '{'");
  SafetensorsHeader header;
  header.data_begin = sizeof length + length;
  HeaderEvents events(path, header);
  nlohmann::json::sax_parse(text, &events);
  check_ranges(path, header, static_cast<std::int64_t>(file.size() - header.data_begin));
  return header;
}

}  // namespace vene::io
