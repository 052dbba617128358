// SPDX-License-Identifier: Apache-2.0
#include "src/viz/gnuplot.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "vene/base/error.h"
#include "vene/io/files.h"
#include "vene/io/program.h"
#include "vene/viz/curve.h"
#include "vene/viz/heat_map.h"

namespace vene {
namespace {

namespace fs = std::filesystem;

// Runs gnuplot on a script file; what it says on stderr comes back when it fails.
void run_gnuplot(const std::string& program, const std::string& script_path, const std::string& log_path) {
  const pid_t child = fork();
  if (child < 0) throw IoError("gnuplot: cannot start a process");
  if (child == 0) {
    if (std::freopen(log_path.c_str(), "w", stderr) == nullptr || std::freopen("/dev/null", "w", stdout) == nullptr)
      _exit(126);
    execl(program.c_str(), program.c_str(), "-d", script_path.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  std::string log = io::read_file(log_path).substr(0, 300);
  for (char& c : log) c = c == '\n' ? ' ' : c;
  throw IoError("gnuplot failed: " + log);
}

}  // namespace

bool gnuplot_available() {
  return !io::find_program("gnuplot").empty();
}

std::string gnuplot_string(const std::string& text) {
  std::string result = "'";
  for (char c : text) {
    if (c == '\'') {
      result += "'.\"\\047\".'";
    } else if (c == '\n' || c == '\r' || c == '\t') {
      result += ' ';
    } else {
      result += c;
    }
  }
  return result + "'";
}

std::string gnuplot_terminal(const std::string& output, bool svg, std::size_t width, std::size_t height) {
  // Points in one, pixels in the other: these look alike.
  return std::string("set encoding utf8\nset terminal ") + (svg ? "svg" : "pngcairo") + " size " +
         std::to_string(width) + "," + std::to_string(height) + " font 'sans," + (svg ? "14" : "11") +
         "' background '#ffffff'\nset output " + gnuplot_string(output) + "\n";
}

void draw_with_gnuplot(const std::vector<std::string>& paths,
                       const std::function<std::string(const std::string& output, bool svg)>& make_script) {
  const std::string program = io::find_program("gnuplot");
  if (program.empty()) throw IoError("gnuplot is not on the PATH, so no picture is drawn (install gnuplot-nox)");
  const io::TemporaryFolder temporary("vene-plot");
  const std::string& folder = temporary.path();
  for (const std::string& path : paths) {
    const bool svg = path.ends_with(".svg");
    if (!svg && !path.ends_with(".png")) throw IoError(path + ": expected a name ending in .png or .svg");
    const std::string picture = folder + (svg ? "/picture.svg" : "/picture.png");
    io::write_file(folder + "/script.gp", make_script(picture, svg));
    run_gnuplot(program, folder + "/script.gp", folder + "/log");
    io::write_file(path, io::read_file(picture));
  }
}

void draw_curve(const std::string& path, const Curve& curve) {
  draw_with_gnuplot({path}, [&](const std::string& output, bool svg) {
    std::ostringstream text;
    text << gnuplot_terminal(output, svg, 720, 420) << "$curve << VENE_END_OF_DATA\n";
    for (std::size_t i = 0; i < curve.x.size(); ++i) text << curve.x[i] << ' ' << curve.y[i] << '\n';
    text << "VENE_END_OF_DATA\nunset key\nset grid lc '#dddddd'\nset title " << gnuplot_string(curve.title)
         << " noenhanced\nset xlabel " << gnuplot_string(curve.x_label) << " noenhanced\nset ylabel "
         << gnuplot_string(curve.y_label) << " noenhanced\nplot $curve using 1:2 with lines lw 1.5 lc '#3f007d'\n";
    return text.str();
  });
}

}  // namespace vene
