// SPDX-License-Identifier: Apache-2.0
// Every port on the stand-in: the same values as on the CPU, and nothing in a forward that the host must wait for.
#include <gmock/gmock.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "tests/device/stand_in.h"
#include "tests/unit/models/helpers.h"
#include "vene/models/load.h"

namespace vene_test {
namespace {

using namespace vene;
using models::Batch;

constexpr double kTolerance = 1e-6;

class PortOnDevice : public testing::TestWithParam<std::string> {
 protected:
  PortOnDevice()
      : cpu(models::load(golden_folder(GetParam()).string()).model),
        device(models::load(golden_folder(GetParam()).string(), {.device = stand_in()}).model) {
    const NamedValues reference = read_values(golden_folder(GetParam()) / "reference.safetensors");
    for (const auto& [name, place] :
         {std::pair("input_ids", &batch.input_ids), std::pair("attention_mask", &batch.attention_mask),
          std::pair("inputs_embeds", &batch.inputs_embeds)}) {
      if (reference.contains(name)) *place = reference.at(name);
    }
    if (batch.attention_mask.defined()) real = batch.attention_mask.to(torch::kBool);
  }
  // Values at padded positions mean nothing.
  torch::Tensor at_real_positions(const torch::Tensor& value) const {
    const torch::Tensor plain = value.to(torch::kCPU);
    return real.defined() ? plain.index({real}) : plain;
  }
  std::shared_ptr<models::Model> cpu, device;
  Batch batch;
  torch::Tensor real;
};

TEST_P(PortOnDevice, GivesWhatItGivesOnTheCpuAndWaitsForNothing) {
  const torch::NoGradGuard no_grad;
  for (const auto& item : device->named_parameters()) ASSERT_EQ(item.value().device(), stand_in()) << item.key();
  const Batch there = batch.to(stand_in());
  const torch::Tensor expected = output_of(*cpu, batch);
  output_of(*device, there);  // what is made once
  torch::Tensor actual;
  const DeviceCounts counts = counted([&] { actual = output_of(*device, there); });
  EXPECT_EQ(counts.stops(), 0) << counts.downloads << " downloads, " << counts.items << " items, " << counts.waits;
  EXPECT_EQ(counts.uploads, 0);
  EXPECT_EQ(actual.device(), stand_in());
  EXPECT_LE(relative_error(at_real_positions(actual), at_real_positions(expected)), kTolerance);
}

INSTANTIATE_TEST_SUITE_P(Golden, PortOnDevice, testing::ValuesIn(golden_names()),
                         [](const testing::TestParamInfo<std::string>& info) { return info.param; });

}  // namespace
}  // namespace vene_test
