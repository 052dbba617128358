// SPDX-License-Identifier: Apache-2.0
#include "models/common/config_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_folder.h"
#include "vene/base/error.h"

namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using vene::models::ConfigReader;

// Python's json writes Infinity, and some configs hold it in fields that no port reads.
TEST(ConfigReaderTest, NumbersThatAreNotFiniteMatterOnlyWhereTheyAreUsed) {
  const vene_test::TestFolder folder;
  folder.write("config.json", R"({"limit": [0.0, Infinity], "eps": -Infinity, "size": 3, "theta": NaN})");
  const ConfigReader config = ConfigReader::read(folder / "config.json");
  EXPECT_EQ(config.integer("size"), 3);
  EXPECT_THAT([&] { (void)config.number("eps"); },
              ThrowsMessage<vene::ModelError>(HasSubstr("field 'eps': expected a number, got -Infinity")));
  EXPECT_THAT([&] { (void)config.positive("theta"); },
              ThrowsMessage<vene::ModelError>(HasSubstr("field 'theta': expected a number, got NaN")));
}

}  // namespace
