// SPDX-License-Identifier: Apache-2.0
// A command on a terminal of its own (a pseudo-terminal), as it meets a person: bars, colours, Ctrl-C.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "unit/cli/child.h"

namespace vene_test {

class TerminalChild {
 public:
  /// Starts the vene command of this build. `columns` is the terminal's width.
  TerminalChild(const std::vector<std::string>& arguments, const Surroundings& surroundings = {}, int columns = 80);
  ~TerminalChild();
  TerminalChild(const TerminalChild&) = delete;
  TerminalChild& operator=(const TerminalChild&) = delete;

  /// Reads on until the text was seen; false when the command ends without it, or a minute passes.
  bool saw(const std::string& text);
  /// What the Ctrl and C keys do: a character, of which the terminal makes a signal for all processes in front.
  void press_control_c();
  /// A signal to the command alone.
  void send(int signal);
  /// Reads to the end; exit status, or 128 + the signal that ended it.
  int status();
  /// All that was shown by now.
  const std::string& shown() const { return shown_; }

 private:
  bool read_some(int milliseconds);
  pid_t child_ = -1;
  int terminal_ = -1;
  int status_ = -1;
  bool open_ = true;
  std::string shown_;
};

}  // namespace vene_test
