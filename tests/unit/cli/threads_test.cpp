// SPDX-License-Identifier: Apache-2.0
// How many threads help, by the files in which Linux says so.
#include "src/cli/threads.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include "unit/cli/child.h"

namespace vene_test {
namespace {

namespace fs = std::filesystem;
using vene::cli::useful_threads;

class Threads : public testing::Test {
 protected:
  void file(const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(folder_ / name).parent_path());
    write_text(folder_ / name, text + "\n");
  }
  // A machine of cores with two processors each: 0 and 4, 1 and 5 ...
  void machine(int cores) {
    for (int processor = 0; processor < 2 * cores; ++processor) {
      const int core = processor % cores;
      file("sys/devices/system/cpu/cpu" + std::to_string(processor) + "/topology/thread_siblings_list",
           std::to_string(core) + "," + std::to_string(core + cores));
    }
  }
  static std::vector<int> all(int processors) {
    std::vector<int> numbers(static_cast<std::size_t>(processors));
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
  }
  TestFolder folder_;
};

TEST_F(Threads, AreOneAPhysicalCore) {
  machine(4);
  EXPECT_EQ(useful_threads(folder_.path(), all(8)), 4);
}

TEST_F(Threads, KeepToTheProcessorsOfTheProcess) {
  machine(4);
  EXPECT_EQ(useful_threads(folder_.path(), {0, 4}), 1);
  EXPECT_EQ(useful_threads(folder_.path(), {0, 1, 6}), 3);
}

TEST_F(Threads, WithoutATopologyAreOneAProcessor) {
  EXPECT_EQ(useful_threads(folder_.path(), all(3)), 3);
  EXPECT_EQ(useful_threads(folder_.path(), {}), 1);
}

TEST_F(Threads, KeepToAContainersShareOfTime) {
  machine(8);
  file("proc/self/cgroup", "0::/");
  file("sys/fs/cgroup/cpu.max", "250000 100000");
  EXPECT_EQ(useful_threads(folder_.path(), all(16)), 3);
  file("sys/fs/cgroup/cpu.max", "50000 100000");
  EXPECT_EQ(useful_threads(folder_.path(), all(16)), 1);
  file("sys/fs/cgroup/cpu.max", "max 100000");
  EXPECT_EQ(useful_threads(folder_.path(), all(16)), 8);
  file("sys/fs/cgroup/cpu.max", "9900000 100000");
  EXPECT_EQ(useful_threads(folder_.path(), all(16)), 8);
}

TEST_F(Threads, TheGroupsAroundAGroupHaveLimitsToo) {
  machine(8);
  file("proc/self/cgroup", "0::/user.slice/job.scope");
  file("sys/fs/cgroup/user.slice/job.scope/cpu.max", "600000 100000");
  EXPECT_EQ(useful_threads(folder_.path(), all(16)), 6);
  file("sys/fs/cgroup/user.slice/cpu.max", "200000 100000");
  EXPECT_EQ(useful_threads(folder_.path(), all(16)), 2);
}

TEST_F(Threads, OlderControlGroupsSayItInTwoFiles) {
  machine(8);
  file("proc/self/cgroup", "5:memory:/docker/a\n4:cpu,cpuacct:/docker/a");
  file("sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us", "400000");
  file("sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us", "100000");
  EXPECT_EQ(useful_threads(folder_.path(), all(16)), 4);
  file("sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us", "-1");
  EXPECT_EQ(useful_threads(folder_.path(), all(16)), 8);
}

TEST(ThreadsHere, AreBetweenOneAndAllProcessors) {
  EXPECT_GE(useful_threads(), 1);
  EXPECT_LE(useful_threads(), 1 << 14);
  // On one processor, one.
  const Outcome pinned = shell("taskset -c \"$(taskset -cp $$ | sed 's/.*: *//; s/[-,].*//')\" vene sites " +
                                   bundled_model() + " --verbose > /dev/null",
                               {.environment = {{"OMP_NUM_THREADS", std::nullopt}}});
  if (pinned.status == 127) GTEST_SKIP() << "the program taskset (util-linux) is absent";
  EXPECT_EQ(pinned.status, 0) << pinned.err;
  EXPECT_NE(pinned.err.find(", 1 thread\n"), std::string::npos) << pinned.err;
}

}  // namespace
}  // namespace vene_test
