// SPDX-License-Identifier: Apache-2.0
#include "vene/io/safetensors.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "src/io/failure.h"
#include "src/io/mapped_file.h"
#include "src/io/safetensors_header.h"
#include "vene/base/names.h"

namespace vene::io {

namespace {

// One tensor's bytes. Their memory is given back with the last tensor that looks at them, so that a loader which
// converts one tensor after another does not hold the whole file besides.
struct View {
  std::shared_ptr<const MappedFile> mapping;
  char* data;
  std::size_t size;
  View(std::shared_ptr<const MappedFile> of, char* begin, std::size_t bytes)
      : mapping(std::move(of)), data(begin), size(bytes) {}
  View(const View&) = delete;
  View& operator=(const View&) = delete;
  ~View() { mapping->forget(data, size); }
};

}  // namespace

struct Safetensors::File {
  std::shared_ptr<const MappedFile> mapping;
  SafetensorsHeader header;
  std::unordered_map<std::string_view, std::size_t> places;  // views of the names in `header`
  mutable std::mutex mutex;                                  // guards `views`
  mutable std::vector<std::weak_ptr<const View>> views;      // of each tensor, while it is looked at

  std::shared_ptr<const View> view(std::size_t place) const {
    const std::lock_guard lock(mutex);
    std::shared_ptr<const View> view = views[place].lock();
    if (!view) {
      const TensorInfo& info = header.tensors[place];
      view = std::make_shared<const View>(mapping, mapping->data() + header.data_begin + info.begin,
                                          static_cast<std::size_t>(info.end - info.begin));
      views[place] = view;
    }
    return view;
  }
};

Safetensors Safetensors::open(const std::string& path) {
  auto file = std::make_shared<File>();
  file->mapping = MappedFile::open(path);
  file->header = parse_safetensors_header(path, file->mapping->bytes());
  const std::vector<TensorInfo>& tensors = file->header.tensors;
  file->places.reserve(tensors.size());
  file->views.resize(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) file->places.emplace(tensors[i].name, i);
  Safetensors opened;
  opened.file_ = std::move(file);
  return opened;
}

const std::vector<TensorInfo>& Safetensors::tensors() const {
  return file_->header.tensors;
}

const std::map<std::string, std::string>& Safetensors::metadata() const {
  return file_->header.metadata;
}

bool Safetensors::contains(const std::string& name) const {
  return file_->places.contains(name);
}

torch::Tensor Safetensors::tensor(const std::string& name) const {
  const auto place = file_->places.find(name);
  if (place == file_->places.end()) {
    std::vector<std::string> names;
    for (const TensorInfo& info : tensors()) names.push_back(info.name);
    fail(file_->mapping->path(), "has no tensor " + in_quotes(name) + name_hint(name, names));
  }
  const TensorInfo& info = tensors()[place->second];
  if (info.begin == info.end) return torch::empty(info.shape, info.dtype);
  const std::shared_ptr<const View> bytes = file_->view(place->second);
  char* data = bytes->data;
  const auto view = [&](torch::ScalarType dtype) {
    return torch::from_blob(
        data, info.shape, [bytes](void*) {}, dtype);
  };
  // A byte other than 0 and 1 is no bool to C++: such a file would be undefined behaviour, so these few are copied.
  if (info.dtype == torch::kBool) return view(torch::kUInt8).ne(0);
  const std::size_t width = c10::elementSize(info.dtype);
  if (reinterpret_cast<std::uintptr_t>(data) % width == 0) return view(info.dtype);
  torch::Tensor copy = torch::empty(info.shape, info.dtype);
  std::copy_n(data, info.end - info.begin, static_cast<char*>(copy.data_ptr()));
  return copy;
}

}  // namespace vene::io
