// SPDX-License-Identifier: Apache-2.0
#include "tests/device/stand_in.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/stack.h>
#include <ATen/detail/HPUHooksInterface.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace vene_test {
namespace {

using at::Tensor;

constexpr c10::DeviceType kType = c10::DeviceType::HPU;
const c10::DispatchKeySet kKeys(c10::DispatchKey::HPU);

std::atomic<std::int64_t> uploads{0}, downloads{0}, items{0}, waits{0};

// --- memory, streams, random numbers

class Memory : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    void* place = bytes > 0 ? std::aligned_alloc(64, (bytes + 63) / 64 * 64) : nullptr;
    TORCH_CHECK(bytes == 0 || place != nullptr, "no memory for ", bytes, " bytes");
    return {place, place, &std::free, stand_in()};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }
};
Memory memory;

class Guard : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return kType; }
  c10::Device exchangeDevice(c10::Device) const override { return stand_in(); }
  c10::Device getDevice() const override { return stand_in(); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return c10::Stream(c10::Stream::DEFAULT, stand_in()); }
  c10::Stream exchangeStream(c10::Stream) const override { return getStream(stand_in()); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};

// The device's own random numbers, drawn as the CPU's are. A kernel takes the generator within.
class Random : public c10::GeneratorImpl {
 public:
  explicit Random(at::Generator within = at::make_generator<at::CPUGeneratorImpl>())
      : GeneratorImpl(stand_in(), kKeys), within(std::move(within)) {}
  void set_current_seed(std::uint64_t seed) override { within.set_current_seed(seed); }
  void set_offset(std::uint64_t) override {}
  std::uint64_t get_offset() const override { return 0; }
  std::uint64_t current_seed() const override { return within.current_seed(); }
  std::uint64_t seed() override { return within.seed(); }
  void set_state(const c10::TensorImpl& state) override { within.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return within.unsafeGetGeneratorImpl()->get_state();
  }

  at::Generator within;

 protected:
  GeneratorImpl* clone_impl() const override { return new Random(within.clone()); }
};

const at::Generator& default_random() {
  static const at::Generator kRandom = at::make_generator<Random>();
  return kRandom;
}

}  // namespace

c10::Device stand_in() {
  return {kType, 0};
}

DeviceCounts device_counts() {
  return {uploads, downloads, items, waits};
}

namespace {

// --- the same memory seen from either side

// A tensor over another's memory, which it holds on to.
Tensor seen_as(const Tensor& tensor, c10::DispatchKey key, c10::Device device, c10::Allocator* allocator) {
  const c10::Storage& held = tensor.storage();
  c10::DataPtr place(
      const_cast<void*>(held.data()), new Tensor(tensor), [](void* kept) { delete static_cast<Tensor*>(kept); },
      device);
  c10::Storage storage(c10::Storage::use_byte_size_t(), held.nbytes(), std::move(place), allocator, true);
  Tensor seen = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(key), tensor.dtype());
  auto* impl = seen.unsafeGetTensorImpl();
  impl->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) impl->set_wrapped_number(true);
  return seen;
}
bool is_here(const Tensor& tensor) {
  return tensor.defined() && tensor.device().type() == kType;
}
Tensor on_host(const Tensor& tensor) {
  return is_here(tensor) ? seen_as(tensor, c10::DispatchKey::CPU, c10::kCPU, c10::GetAllocator(c10::kCPU)) : tensor;
}
Tensor on_device(const Tensor& tensor) {
  return tensor.defined() && tensor.device().is_cpu() ? seen_as(tensor, c10::DispatchKey::HPU, stand_in(), &memory)
                                                      : tensor;
}

// --- any operation

// On CUDA these read their result back, or a shape that depends on values.
const std::set<std::string> kWaiting{
    "aten::nonzero",  "aten::equal",      "aten::masked_select",      "aten::_unique",
    "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive", "aten::repeat_interleave"};
// CUDA takes these index tensors from the CPU, and copies them.
const std::set<std::string> kTakesCpuIndices{"aten::index", "aten::index_put_", "aten::index_put",
                                             "aten::_index_put_impl_"};

// Runs an operation's CPU kernel over the device's memory.
void by_cpu_kernel(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::FunctionSchema& schema = op.schema();
  const std::size_t count = schema.arguments().size(), begin = stack->size() - count;
  const std::vector<c10::IValue> given(stack->end() - static_cast<std::ptrdiff_t>(count), stack->end());
  const bool indexes = kTakesCpuIndices.contains(schema.name());
  if (kWaiting.contains(schema.name())) ++waits;
  std::vector<std::pair<Tensor, Tensor>> pairs;  // as it was given, and as the kernel has it
  bool masks = false;
  const auto taken = [&](const Tensor& tensor, const c10::Argument& argument) {
    if (!tensor.defined()) return tensor;
    if (indexes && argument.name() == "indices") {
      // What `index` does before it gets here has counted already: it moves them, and turns masks into indices.
      const bool mask = tensor.scalar_type() == at::kBool || tensor.scalar_type() == at::kByte;
      if (schema.name() != "aten::index" && tensor.device().is_cpu()) ++uploads;
      masks = masks || (schema.name() != "aten::index" && mask);
    } else {
      TORCH_CHECK(is_here(tensor) || tensor.dim() == 0, schema.name(), ": ", argument.name(), " is a tensor ",
                  tensor.sizes(), " on ", tensor.device(), " among tensors on the device");
    }
    Tensor host = on_host(tensor);
    if (is_here(tensor)) pairs.emplace_back(tensor, host);
    return host;
  };
  for (std::size_t i = 0; i < count; ++i) {
    c10::IValue& value = (*stack)[begin + i];
    const c10::Argument& argument = schema.arguments()[i];
    if (value.isTensor()) {
      value = taken(value.toTensor(), argument);
    } else if (value.isTensorList()) {
      std::vector<Tensor> list;
      for (const Tensor& tensor : value.toTensorVector()) list.push_back(taken(tensor, argument));
      value = c10::IValue(c10::List<Tensor>(list));
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<Tensor>> list;
      for (const std::optional<Tensor>& tensor : value.toOptionalTensorList().vec())
        list.push_back(tensor ? std::optional(taken(*tensor, argument)) : std::nullopt);
      value = c10::IValue(list);
    } else if (value.isDevice()) {
      value = c10::IValue(c10::Device(c10::kCPU));
    } else if (const std::string type = argument.type()->str(); type.find("Generator") != std::string::npos) {
      if (!value.isNone()) {
        TORCH_CHECK(value.toGenerator().device().type() == kType, schema.name(),
                    ": expected a generator of the device, got one of ", value.toGenerator().device());
      }
      const at::Generator random = value.isNone() ? default_random() : value.toGenerator();
      value = c10::IValue(static_cast<Random*>(random.unsafeGetGeneratorImpl())->within);
    }
  }
  if (masks) ++waits;  // how many places a mask picks
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);

  // What the kernel resized.
  for (auto& [tensor, host] : pairs) {
    if (host.sizes() == tensor.sizes() && host.const_data_ptr() == tensor.const_data_ptr()) continue;
    auto* impl = tensor.unsafeGetTensorImpl();
    impl->set_storage_keep_dtype(on_device(host).storage());
    impl->set_sizes_and_strides(host.sizes(), host.strides(), host.storage_offset());
  }
  const auto given_back = [&](const Tensor& result) {
    for (const auto& [tensor, host] : pairs) {
      if (result.is_same(host)) return tensor;
    }
    return on_device(result);
  };
  const std::size_t returns = schema.returns().size();
  for (std::size_t i = 0; i < returns; ++i) {
    c10::IValue& value = (*stack)[stack->size() - returns + i];
    if (value.isTensor()) {
      value = given_back(value.toTensor());
    } else if (value.isTensorList()) {
      std::vector<Tensor> list;
      for (const Tensor& tensor : value.toTensorVector()) list.push_back(given_back(tensor));
      value = c10::IValue(c10::List<Tensor>(list));
    }
  }
}

// --- those that cannot be handed on

Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
             std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return Tensor(at::detail::empty_generic(size, &memory, kKeys, c10::dtype_or_default(dtype), format));
}

Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                     std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return Tensor(at::detail::empty_strided_generic(size, stride, &memory, kKeys, c10::dtype_or_default(dtype)));
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  if (from.numel() > 0 && is_here(from) && !is_here(to)) ++downloads;
  if (from.numel() > 0 && !is_here(from) && is_here(to)) ++uploads;
  on_host(to).copy_(on_host(from));
  return to;
}

const Tensor& resize(const Tensor& self, at::IntArrayRef size, std::optional<at::MemoryFormat>) {
  auto* impl = self.unsafeGetTensorImpl();
  const std::size_t bytes =
      (static_cast<std::size_t>(c10::multiply_integers(size)) + static_cast<std::size_t>(self.storage_offset())) *
      self.itemsize();
  if (const c10::Storage& storage = self.storage(); storage.nbytes() < bytes) {
    c10::DataPtr place = memory.allocate(bytes);
    if (storage.nbytes() > 0) std::memcpy(place.get(), storage.data(), storage.nbytes());
    storage.unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(place));
    storage.unsafeGetStorageImpl()->set_nbytes(bytes);
  }
  impl->set_sizes_contiguous(size);
  return self;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar local_scalar(const Tensor& self) {
  ++items;
  return on_host(self).item();
}

}  // namespace
}  // namespace vene_test

namespace at {
// LibTorch looks for it under this name.
struct HPUHooks : HPUHooksInterface {
  explicit HPUHooks(HPUHooksArgs) {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  void init() const override {}
  bool hasHPU() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(DeviceIndex) const override {}
  const Generator& getDefaultGenerator(DeviceIndex) const override { return vene_test::default_random(); }
};
REGISTER_HPU_HOOKS(HPUHooks);
}  // namespace at

C10_REGISTER_GUARD_IMPL(HPU, vene_test::Guard)
static const bool kHasMemory = [] {
  c10::SetAllocator(vene_test::kType, &vene_test::memory);
  return true;
}();

TORCH_LIBRARY_IMPL(aten, HPU, library) {
  library.impl("empty.memory_format", TORCH_FN(vene_test::empty));
  library.impl("empty_strided", TORCH_FN(vene_test::empty_strided));
  library.impl("_copy_from", TORCH_FN(vene_test::copy_from));
  library.impl("_copy_from_and_resize", TORCH_FN(vene_test::copy_from_and_resize));
  library.impl("_local_scalar_dense", TORCH_FN(vene_test::local_scalar));
  library.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
  library.impl("view", TORCH_FN(at::native::view));
  library.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  library.impl("resize_", TORCH_FN(vene_test::resize));
  // Elsewhere this falls apart into sums that round otherwise.
  library.impl("native_layer_norm", torch::CppFunction::makeFromBoxedFunction<&vene_test::by_cpu_kernel>());
}
TORCH_LIBRARY_IMPL(_, HPU, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&vene_test::by_cpu_kernel>());
}
