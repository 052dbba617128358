// SPDX-License-Identifier: Apache-2.0
#include "vene/base/names.h"

#include <gmock/gmock.h>

#include "vene/base/version.h"

namespace vene {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(NamesTest, NearestNamesFindsSlipsOfThePen) {
  EXPECT_THAT(nearest_names("blok_output", {"block_input", "block_output", "mlp_output"}),
              ElementsAre("block_output", "mlp_output"));
  EXPECT_THAT(nearest_names("mlp_out", {"block_output", "mlp_output"}), ElementsAre("mlp_output"));
  EXPECT_THAT(nearest_names("zebra", {"block_output"}), ElementsAre());
}

TEST(NamesTest, HintListsWhatIsKnownWhenNothingIsNear) {
  EXPECT_EQ(name_hint("zebra", {"pos", "h"}), "; known: pos, h");
  EXPECT_EQ(name_hint("poss", {"pos", "h"}), "; did you mean 'pos'?");
  EXPECT_EQ(name_hint("x", {}), "");
}

TEST(NamesTest, ShapesReadAsLists) {
  EXPECT_EQ(shape_text(std::vector<int>{2, 5, 64}), "[2, 5, 64]");
  EXPECT_EQ(shape_text(std::vector<int>{}), "[]");
}

TEST(VersionTest, BuildInfoNamesLibTorch) {
  EXPECT_THAT(build_info().libtorch_version, HasSubstr("2."));
}

}  // namespace
}  // namespace vene
