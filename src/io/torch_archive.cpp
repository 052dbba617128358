// SPDX-License-Identifier: Apache-2.0
#include "vene/io/torch_archive.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <caffe2/serialize/inline_container.h>

#include <array>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "src/io/failure.h"
#include "src/io/legacy_archive.h"
#include "src/io/mapped_file.h"
#include "src/io/pickle.h"
#include "src/io/safetensors_header.h"
#include "src/io/zip.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/io/safetensors.h"

namespace vene::io {
namespace {

constexpr int kMostDepth = 64;                          // of nested containers
constexpr std::size_t kMostValues = kMostPickleValues;  // a small pickle of shared lists could unfold without end

constexpr std::size_t kPackedPickle = 4'000'000;  // bytes that a packed pickle may have beyond those of its file

// The first pickle of an archive from before PyTorch 1.6: the number 0x1950a86a20f9469cfc6c, in protocol 2.
constexpr std::string_view kLegacyMagic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

struct NamedDtype {
  std::string_view name;
  torch::ScalarType dtype;
};
constexpr std::array kStorages{
    NamedDtype{"torch.DoubleStorage", torch::kFloat64}, NamedDtype{"torch.FloatStorage", torch::kFloat32},
    NamedDtype{"torch.HalfStorage", torch::kFloat16}, NamedDtype{"torch.BFloat16Storage", torch::kBFloat16},
    NamedDtype{"torch.LongStorage", torch::kInt64}, NamedDtype{"torch.IntStorage", torch::kInt32},
    NamedDtype{"torch.ShortStorage", torch::kInt16}, NamedDtype{"torch.CharStorage", torch::kInt8},
    NamedDtype{"torch.ByteStorage", torch::kUInt8}, NamedDtype{"torch.BoolStorage", torch::kBool},
    NamedDtype{"torch.ComplexFloatStorage", torch::kComplexFloat},
    NamedDtype{"torch.ComplexDoubleStorage", torch::kComplexDouble},
    // Tensors of dtypes without a storage class of their own name their dtype beside an untyped storage.
    NamedDtype{"torch.storage.UntypedStorage", torch::kUInt8}};
constexpr std::array kDtypes{NamedDtype{"torch.float64", torch::kFloat64},
                             NamedDtype{"torch.float32", torch::kFloat32},
                             NamedDtype{"torch.float16", torch::kFloat16},
                             NamedDtype{"torch.bfloat16", torch::kBFloat16},
                             NamedDtype{"torch.int64", torch::kInt64},
                             NamedDtype{"torch.int32", torch::kInt32},
                             NamedDtype{"torch.int16", torch::kInt16},
                             NamedDtype{"torch.int8", torch::kInt8},
                             NamedDtype{"torch.uint8", torch::kUInt8},
                             NamedDtype{"torch.bool", torch::kBool},
                             NamedDtype{"torch.uint16", torch::kUInt16},
                             NamedDtype{"torch.uint32", torch::kUInt32},
                             NamedDtype{"torch.uint64", torch::kUInt64},
                             NamedDtype{"torch.complex64", torch::kComplexFloat},
                             NamedDtype{"torch.complex128", torch::kComplexDouble},
                             NamedDtype{"torch.complex32", torch::kComplexHalf},
                             NamedDtype{"torch.float8_e5m2", torch::kFloat8_e5m2},
                             NamedDtype{"torch.float8_e4m3fn", torch::kFloat8_e4m3fn}};
constexpr std::array<std::string_view, 7> kCallables{"collections.OrderedDict",
                                                     "torch._utils._rebuild_tensor_v2",
                                                     "torch._utils._rebuild_tensor_v3",
                                                     "torch._utils._rebuild_parameter",
                                                     "torch.Size",
                                                     "builtins.set",
                                                     "__builtin__.set"};

template <class Table>
std::optional<torch::ScalarType> dtype_in(const Table& table, std::string_view name) {
  for (const NamedDtype& entry : table) {
    if (entry.name == name) return entry.dtype;
  }
  return std::nullopt;
}

class ArchiveReader {
 public:
  explicit ArchiveReader(const std::string& path) : path_(path), mapping_(MappedFile::open(path)) {
    refuse_lfs_pointer(path, mapping_->bytes());
    if (is_legacy_archive(mapping_->bytes())) return;
    if (!mapping_->bytes().starts_with("PK"))
      fail(path, "is not a PyTorch archive: neither a zip file nor what torch.save wrote before PyTorch 1.6");
    // LibTorch's reader unfolds some records as it opens a file, whatever they say of their size.
    (void)Zip(path, mapping_->bytes()).members();
    guarded([&] { zip_.emplace(path); });
  }

  PickleValue read() {
    if (!zip_) return read_legacy();
    if (has("byteorder") && record("byteorder").second == 3)  // "big", not "little"
      fail(path_, "was written on a big-endian machine, which is not supported");
    if (!has("data.pkl")) fail(path_, "has no data.pkl: it is a zip file, but not one that torch.save wrote");
    auto [data, size] = record("data.pkl");
    pickle_ = std::move(data);
    pickle_size_ = size;
    if (size > mapping_->size() + kPackedPickle) too_much("unfolds");
    return unpickle(path_, std::string_view(static_cast<const char*>(pickle_.get()), size), host(), arena_);
  }

 private:
  PickleHost host() {
    return {.persistent = [&](const PickleValue& id) { return zip_ ? storage(id) : legacy_storage(id); },
            .call = [&](const std::string& global,
                        const std::vector<PickleValue>& arguments) { return call(global, arguments); },
            .allowed =
                [](const std::string& global) {
                  return dtype_in(kStorages, global) || dtype_in(kDtypes, global) ||
                         std::find(kCallables.begin(), kCallables.end(), global) != kCallables.end();
                }};
  }

  // Pickles one after another (a magic number, a version, what the machine was like, the value, the keys of its
  // storages), and then the storages in the order of these keys, each a count and its elements.
  PickleValue read_legacy() {
    std::string_view rest = mapping_->bytes().substr(kLegacyMagic.size());
    const auto next = [&] {
      std::size_t used = 0;
      if (rest.size() < 2) fail(path_, "was cut: it ends among its pickles");
      pickle_size_ = rest.size();
      PickleValue value = unpickle(path_, rest, host(), arena_, &used);
      rest.remove_prefix(used);
      return value;
    };
    const PickleValue version = next();
    if (const auto* number = version.get<std::int64_t>(); number == nullptr || *number != 1001)
      fail(path_, "is an archive from before PyTorch 1.6 of another version than 1001");
    const PickleValue machine = next();
    if (const auto* facts = machine.get<PickleValue::Dict*>()) {
      for (const auto& [key, value] : (*facts)->items) {
        const auto* name = key.get<std::string_view>();
        const auto* little = value.get<bool>();
        if (name && *name == "little_endian" && little && !*little)
          fail(path_, "was written on a big-endian machine, which is not supported");
      }
    }
    PickleValue value = next();
    const PickleValue keys = next();
    if (!keys.items()) fail(path_, "does not list its storages");
    std::size_t filled = 0;
    for (const PickleValue& item : *keys.items()) {
      const auto* key = item.get<std::string_view>();
      const auto found = key ? storages_.find(std::string(*key)) : storages_.end();
      if (found == storages_.end()) fail(path_, "lists a storage that nothing in it uses");
      torch::Tensor& storage = found->second;
      std::int64_t count = 0;
      if (rest.size() < sizeof count) fail(path_, "was cut: the storage " + in_quotes(*key) + " is missing");
      std::memcpy(&count, rest.data(), sizeof count);
      rest.remove_prefix(sizeof count);
      if (count != storage.numel())
        fail(path_, "storage " + in_quotes(*key) + " holds " + std::to_string(count) + " elements, but " +
                        std::to_string(storage.numel()) + " are expected");
      if (rest.size() < storage.nbytes())
        fail(path_, "was cut: the storage " + in_quotes(*key) + " has " + std::to_string(rest.size()) + " of its " +
                        std::to_string(storage.nbytes()) + " bytes");
      if (!listed_.insert(*key).second) fail(path_, "lists the storage " + in_quotes(*key) + " twice");
      if (count > 0) std::memcpy(storage.data_ptr(), rest.data(), storage.nbytes());
      if (storage.scalar_type() == torch::kBool) plain_bools(storage.data_ptr(), storage.nbytes());
      rest.remove_prefix(storage.nbytes());
      ++filled;
    }
    if (filled != storages_.size()) fail(path_, "has tensors whose storage it does not list");
    return value;
  }

  // What torch.save says of a storage: ("storage", storage class, key, device, element count), here of so many entries.
  struct StorageText {
    std::string_view key;
    torch::ScalarType dtype;
    std::int64_t count;
  };
  StorageText described_storage(const PickleValue& id, std::size_t entries) {
    const auto* items = id.items();
    const std::string_view* kind = items && items->size() == entries ? (*items)[0].get<std::string_view>() : nullptr;
    if (!kind || *kind != "storage") fail(path_, "refers to something outside that is not a storage");
    const auto* type = (*items)[1].get<PickleValue::Global>();
    const auto* key = (*items)[2].get<std::string_view>();
    const auto* count = (*items)[4].get<std::int64_t>();
    const std::optional<torch::ScalarType> dtype = type ? dtype_in(kStorages, type->name) : std::nullopt;
    if (!dtype || !key || !count || *count < 0) fail(path_, "describes a storage in a way torch.save does not");
    return {*key, *dtype, *count};
  }

  // ("storage", storage class, key, device, element count, view): the elements come behind the pickle.
  PickleValue legacy_storage(const PickleValue& id) {
    const auto [key, dtype, count] = described_storage(id, 6);
    auto known = storages_.find(std::string(key));
    if (known == storages_.end()) {
      const std::uint64_t left = mapping_->size() - unfolded_;
      if (static_cast<std::uint64_t>(count) > left / c10::elementSize(dtype))
        fail(path_, "was cut: the storage " + in_quotes(key) + " of " + std::to_string(count) +
                        " elements is larger than what is left of the file");
      unfolded_ += static_cast<std::uint64_t>(count) * c10::elementSize(dtype);
      known = storages_.emplace(std::string(key), torch::empty({count}, dtype)).first;
    } else if (known->second.scalar_type() != dtype || known->second.numel() != count) {
      fail(path_, "describes the storage " + in_quotes(key) + " in two ways");
    }
    const auto& last = (*id.items())[5];
    if (last.get<std::monostate>()) return {known->second};
    const auto* view = last.items();  // (key, offset, size): a storage that is a part of another
    const auto* offset = view && view->size() == 3 ? (*view)[1].get<std::int64_t>() : nullptr;
    const auto* size = offset ? (*view)[2].get<std::int64_t>() : nullptr;
    if (!size || *offset < 0 || *size < 0 || *size > count || *offset > count - *size)
      fail(path_, "describes a storage in a way torch.save does not");
    return {known->second.narrow(0, *offset, *size)};
  }

  // A byte other than 0 and 1 is no bool to C++.
  static void plain_bools(void* bytes, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i)
      static_cast<std::uint8_t*>(bytes)[i] = static_cast<std::uint8_t*>(bytes)[i] != 0;
  }

  // LibTorch's zip reader throws c10::Error with a page of C++ stack; one line of ours says what a user can act on.
  template <class Action>
  auto guarded(Action action) -> decltype(action()) {
    try {
      return action();
    } catch (const c10::Error& error) {
      std::string what = error.what_without_backtrace();
      what = what.substr(0, what.find('\n'));
      fail(path_, "is a damaged archive: " + what.substr(0, 200));
    } catch (const std::exception& error) {
      fail(path_, std::string("is a damaged archive: ") + error.what());
    }
  }
  [[noreturn]] void too_much(const char* how) const {
    fail(path_, std::string(how) + " to more than " + std::to_string(most_unfolded(mapping_->size())) +
                    " bytes of values, which its " + std::to_string(mapping_->size()) + " bytes do not hold honestly");
  }
  bool has(const std::string& name) {
    return guarded([&] { return zip_->hasRecord(name); });
  }
  std::pair<at::DataPtr, std::size_t> record(const std::string& name) {
    const std::size_t declared = guarded([&] { return zip_->getRecordSize(name); });
    if (declared > most_unfolded(mapping_->size()) - unfolded_) too_much("unfolds");
    unfolded_ += declared;
    return guarded([&] {
      auto [data, size] = zip_->getRecord(name);
      return std::pair<at::DataPtr, std::size_t>(std::move(data), size);
    });
  }

  // ("storage", storage class, key, device, element count) as torch.save names its storages.
  PickleValue storage(const PickleValue& id) {
    const auto [key, dtype, count] = described_storage(id, 5);
    const std::string name = "data/" + std::string(key);
    if (const auto known = storages_.find(name); known != storages_.end()) {
      const torch::Tensor& storage = known->second;
      if (storage.numel() == 0 && count == 0) return {torch::empty({0}, dtype)};
      if (storage.scalar_type() != dtype || storage.numel() != count)
        fail(path_, "describes the storage " + in_quotes(name) + " in two ways");
      return {storage};
    }
    if (!has(name)) fail(path_, "lacks the storage " + in_quotes(name));
    auto [data, size] = record(name);
    const auto width = static_cast<std::int64_t>(c10::elementSize(dtype));
    if (count > INT64_MAX / width || static_cast<std::int64_t>(size) != count * width) {
      fail(path_, "storage " + in_quotes(name) + " holds " + std::to_string(size) + " bytes, but " +
                      std::to_string(count) + " elements of " + c10::toString(dtype) + " are expected");
    }
    auto owner = std::make_shared<at::DataPtr>(std::move(data));
    void* bytes = owner->get();
    if (dtype == torch::kBool) plain_bools(bytes, size);
    torch::Tensor tensor = size == 0 ? torch::empty({0}, dtype)
                                     : torch::from_blob(
                                           bytes, {count}, [owner](void*) {}, dtype);
    storages_.emplace(name, tensor);
    return {tensor};
  }

  std::vector<std::int64_t> sizes(const PickleValue& value) const {
    const auto* items = value.items();
    if (!items || items->size() > 64) fail(path_, "gives a tensor a shape that is not a tuple of at most 64 integers");
    std::vector<std::int64_t> sizes;
    for (const PickleValue& item : *items) {
      const auto* size = item.get<std::int64_t>();
      if (!size || *size < 0) fail(path_, "gives a tensor a size or stride that is not a whole number");
      sizes.push_back(*size);
    }
    return sizes;
  }

  // (storage, offset, size, stride, ...): a view, checked against the storage, since as_strided on bad numbers would
  // read whatever lies beyond it.
  PickleValue rebuild(const std::vector<PickleValue>& arguments, std::optional<torch::ScalarType> dtype) {
    if (arguments.size() < 4) fail(path_, "describes a tensor with too few arguments");
    const auto* storage = arguments[0].get<torch::Tensor>();
    const auto* offset = arguments[1].get<std::int64_t>();
    if (!storage || !offset || *offset < 0) fail(path_, "describes a tensor in a way torch.save does not");
    torch::Tensor flat = *storage;
    if (dtype && *dtype != flat.scalar_type()) {
      if (flat.nbytes() % c10::elementSize(*dtype) != 0)
        fail(path_, "has a storage whose length does not fit its dtype");
      flat = flat.view(*dtype);
    }
    const std::vector<std::int64_t> shape = sizes(arguments[2]), strides = sizes(arguments[3]);
    if (shape.size() != strides.size()) fail(path_, "gives a tensor as many strides as it has not sizes");
    const std::optional<std::int64_t> count = checked_product(shape);
    std::int64_t last = *offset;
    bool overflow = !count.has_value();
    for (std::size_t i = 0; i < shape.size() && !overflow; ++i) {
      std::int64_t reach = 0;
      overflow = shape[i] > 0 && (__builtin_mul_overflow(shape[i] - 1, strides[i], &reach) ||
                                  __builtin_add_overflow(last, reach, &last));
    }
    if (overflow || (*count > 0 && last >= flat.numel())) {
      fail(path_, "has a tensor of shape " + shape_text(shape) + " that reaches beyond its storage of " +
                      std::to_string(flat.numel()) + " elements");
    }
    if (*count == 0) return {torch::empty(shape, flat.scalar_type())};
    // Strides of 0, or tensors that share a storage, may stand for any number of values; whoever copies them would pay.
    const auto width = static_cast<std::int64_t>(flat.element_size());
    const std::uint64_t most = most_unfolded(mapping_->size());
    if (*count > INT64_MAX / width || static_cast<std::uint64_t>(*count * width) > most - named_)
      too_much("has tensors that stretch");
    named_ += static_cast<std::uint64_t>(*count * width);
    return {flat.as_strided(shape, strides, flat.storage_offset() + *offset)};
  }

  std::optional<PickleValue> call(const std::string& global, const std::vector<PickleValue>& arguments) {
    if (global == "torch._utils._rebuild_tensor_v2") return rebuild(arguments, std::nullopt);
    if (global == "torch._utils._rebuild_tensor_v3") {
      const auto* dtype = arguments.size() > 6 ? arguments[6].get<PickleValue::Global>() : nullptr;
      const std::optional<torch::ScalarType> known = dtype ? dtype_in(kDtypes, dtype->name) : std::nullopt;
      if (!known || *known == torch::kBool) return std::nullopt;  // bools have a storage class of their own
      return rebuild(arguments, known);
    }
    if (global == "torch._utils._rebuild_parameter") {
      if (arguments.empty() || !arguments[0].get<torch::Tensor>()) return std::nullopt;
      return arguments[0];
    }
    if (global == "torch.Size") {
      if (arguments.size() != 1 || !arguments[0].items()) return std::nullopt;
      return arguments[0];
    }
    if (global == "__builtin__.set" || global == "builtins.set") {
      if (arguments.size() != 1 || !arguments[0].items()) return std::nullopt;
      copy(arguments[0].items()->size());
      return PickleValue{
          &arena_.lists.emplace_back(PickleValue::List{PickleValue::List::Kind::kSet, *arguments[0].items()})};
    }
    if (global != "collections.OrderedDict" || arguments.size() > 1) return std::nullopt;
    PickleValue::Dict* dict = &arena_.dicts.emplace_back();
    if (!arguments.empty()) {  // protocol 2 of old Pythons: a list of pairs
      if (!arguments[0].items()) return std::nullopt;
      copy(arguments[0].items()->size());
      for (const PickleValue& pair : *arguments[0].items()) {
        const auto* items = pair.items();
        if (!items || items->size() != 2) return std::nullopt;
        dict->items.emplace_back((*items)[0], (*items)[1]);
      }
    }
    return PickleValue{dict};
  }

  // Items that a set or a dict takes from a list. Each of them took a byte of the pickle at least, unless one list is
  // taken again and again.
  void copy(std::size_t items) {
    if (items > pickle_size_ - copied_) fail(path_, "holds a pickle that copies one list again and again");
    copied_ += items;
  }

  const std::string& path_;
  std::shared_ptr<const MappedFile> mapping_;
  std::uint64_t unfolded_ = 0, named_ = 0;  // bytes of records that were read, and of tensors
  std::size_t pickle_size_ = 0, copied_ = 0;
  std::optional<caffe2::serialize::PyTorchStreamReader> zip_;
  std::unordered_map<std::string, torch::Tensor> storages_;
  std::unordered_set<std::string_view> listed_;  // of a legacy archive
  at::DataPtr pickle_;                           // what texts are views of
  PickleArena arena_;
};

class Plain {
 public:
  explicit Plain(const std::string& path) : path_(path) {}

  ArchiveValue convert(const PickleValue& from, int depth = 0) {
    if (depth > kMostDepth)
      fail(path_, "nests its containers more than " + std::to_string(kMostDepth) + " deep, or puts one into itself");
    const auto* text = from.get<std::string_view>();
    count_ += 1 + (text ? text->size() / sizeof(ArchiveValue) : 0);
    if (count_ > kMostValues) fail(path_, "holds more than " + std::to_string(kMostValues) + " values");
    ArchiveValue to;
    std::visit([&](const auto& value) { assign(to, value, depth); }, from.value);
    return to;
  }

 private:
  template <class T>
  void assign(ArchiveValue& to, const T& value, int) {
    to.value = value;
  }
  void assign(ArchiveValue& to, std::string_view text, int) { to.value = std::string(text); }
  // A dtype or a storage class as a value: its name is all that is left of it.
  void assign(ArchiveValue& to, const PickleValue::Global& global, int) { to.value = global.name; }
  void assign(ArchiveValue& to, PickleValue::List* list, int depth) {
    ArchiveValue::List items;
    for (const PickleValue& item : list->items) items.push_back(convert(item, depth + 1));
    to.value = std::move(items);
  }
  void assign(ArchiveValue& to, PickleValue::Dict* dict, int depth) {
    ArchiveValue::Dict items;
    for (const auto& [key, value] : dict->items) {
      ArchiveValue plain_key = convert(key, depth + 1);
      items.emplace_back(std::move(plain_key), convert(value, depth + 1));
    }
    to.value = std::move(items);
  }

  const std::string& path_;
  std::size_t count_ = 0;
};

const char* kind_of(const ArchiveValue& value) {
  constexpr std::array kKinds{"None", "a bool", "an integer", "a float", "a string", "a tensor", "a list", "a dict"};
  return kKinds[value.value.index()];
}

}  // namespace

bool is_legacy_archive(std::string_view bytes) {
  return bytes.starts_with(kLegacyMagic);
}

const ArchiveValue* ArchiveValue::find(std::string_view key) const {
  const auto* dict = std::get_if<Dict>(&value);
  if (!dict) return nullptr;
  for (const auto& [name, entry] : *dict) {
    const auto* text = std::get_if<std::string>(&name.value);
    if (text && *text == key) return &entry;
  }
  return nullptr;
}

ArchiveValue read_archive(const std::string& path) {
  ArchiveReader reader(path);
  return Plain(path).convert(reader.read());
}

std::vector<std::pair<std::string, torch::Tensor>> read_state_dict(const std::string& path,
                                                                   std::vector<std::string>* not_tensors) {
  const ArchiveValue archive = read_archive(path);
  const ArchiveValue* inner = archive.find("state_dict");
  const auto* dict = std::get_if<ArchiveValue::Dict>(&(inner ? *inner : archive).value);
  if (!dict) fail(path, std::string("holds ") + kind_of(archive) + ", not a dict of tensors");
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  std::unordered_map<std::string, std::size_t> places;
  std::string first_other;
  for (const auto& [key, value] : *dict) {
    const auto* name = std::get_if<std::string>(&key.value);
    if (!name) fail(path, std::string("has ") + kind_of(key) + " as a key where a tensor's name is expected");
    const auto* tensor = std::get_if<torch::Tensor>(&value.value);
    if (!tensor) {
      if (first_other.empty()) first_other = "entry " + in_quotes(*name) + " is " + kind_of(value) + ", not a tensor";
      if (not_tensors == nullptr) fail(path, first_other);
      not_tensors->push_back(*name);
      continue;
    }
    const auto [place, fresh] = places.emplace(*name, tensors.size());
    if (!fresh) fail(path, "has the entry " + in_quotes(*name) + " twice");
    tensors.emplace_back(*name, *tensor);
  }
  if (tensors.empty() && !first_other.empty()) fail(path, first_other);
  return tensors;
}

}  // namespace vene::io
