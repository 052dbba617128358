// SPDX-License-Identifier: Apache-2.0
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "vene/base/error.h"
#include "vene/io/files.h"
#include "vene/viz/curve.h"
#include "vene/viz/heat_map.h"

namespace vene {
namespace {

namespace fs = std::filesystem;

// A gnuplot string in single quotes, in which nothing but the quote itself is special.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (char c : text) {
    if (c == '\'') {
      result += "''";
    } else if (c == '\n' || c == '\r' || c == '\t') {
      result += ' ';
    } else {
      result += c;
    }
  }
  return result + "'";
}

std::string palette(const std::string& colour) {
  const char* dark = colour == "green" ? "#00441b" : colour == "red" ? "#67000d" : colour == "blue" ? "#08306b" : "#3f007d";
  const char* middle = colour == "green" ? "#41ab5d" : colour == "red" ? "#ef3b2c" : colour == "blue" ? "#4292c6" : "#807dba";
  return std::string("set palette defined (0 '#ffffff', 0.5 '") + middle + "', 1 '" + dark + "')\n";
}

std::string labels(const char* axis, const std::vector<std::string>& names) {
  std::string text = std::string("set ") + axis + "tics (";
  for (std::size_t i = 0; i < names.size(); ++i) text += (i > 0 ? ", " : "") + quoted(names[i]) + " " + std::to_string(i);
  return text + ") noenhanced\n";
}

std::string script(const std::vector<HeatMap>& maps, const std::string& title, const std::string& output, bool svg) {
  std::size_t most_rows = 1;
  std::size_t longest_label = 1;
  std::size_t columns = 1;
  for (const HeatMap& map : maps) {
    most_rows = std::max(most_rows, map.rows.size());
    columns = std::max(columns, map.columns.size());
    for (const std::string& row : map.rows) longest_label = std::max(longest_label, row.size());
  }
  const std::size_t panel = 190 + 7 * longest_label + std::max<std::size_t>(220, 24 * std::min<std::size_t>(columns, 48));
  const std::size_t width = panel * maps.size();
  const std::size_t height = 130 + std::max<std::size_t>(220, 26 * std::min<std::size_t>(most_rows, 60));
  std::ostringstream text;
  text << "set encoding utf8\n";
  text << (svg ? "set terminal svg enhanced" : "set terminal pngcairo enhanced") << " size " << width << "," << height
       << " font 'sans,11' background '#ffffff'\n";
  text << "set output " << quoted(output) << "\n";
  for (std::size_t m = 0; m < maps.size(); ++m) {
    text << "$map" << m << " << VENE_END_OF_DATA\n";
    const torch::Tensor values = maps[m].values.to(torch::kCPU, torch::kFloat64).contiguous();
    for (std::int64_t row = 0; row < values.size(0); ++row) {
      for (std::int64_t column = 0; column < values.size(1); ++column) {
        const double value = values[row][column].item<double>();
        text << column << ' ' << row << ' ';
        std::isfinite(value) ? text << value : text << "NaN";
        text << '\n';
      }
      text << '\n';
    }
    text << "VENE_END_OF_DATA\n";
  }
  text << "set multiplot layout 1," << maps.size() << " title " << quoted(title) << " noenhanced font 'sans,12'\n";
  text << "unset key\nset tics out nomirror\nset border lw 0.5\n";
  for (std::size_t m = 0; m < maps.size(); ++m) {
    const HeatMap& map = maps[m];
    // Every label up to 24 columns, then every second, third ...
    std::vector<std::string> shown = map.columns;
    const std::size_t step = (shown.size() + 23) / 24;
    for (std::size_t i = 0; i < shown.size(); ++i) {
      if (i % step != 0) shown[i].clear();
    }
    double low = map.values.numel() > 0 ? map.values.min().item<double>() : 0;
    double high = map.values.numel() > 0 ? map.values.max().item<double>() : 1;
    if (!(high > low)) high = low + 1e-6;
    text << "set title " << quoted(map.title) << " noenhanced\n";
    text << palette(map.colour) << "set cbrange [" << low << ":" << high << "]\n";
    text << "set cblabel " << quoted(map.colour_label) << " noenhanced\n";
    text << "set xlabel " << quoted(map.x_label) << " noenhanced\n";
    text << labels("x", shown) << labels("y", map.rows);
    text << "set xrange [-0.5:" << static_cast<double>(map.columns.size()) - 0.5 << "]\n";
    text << "set yrange [" << static_cast<double>(map.rows.size()) - 0.5 << ":-0.5]\n";
    text << "plot $map" << m << " using 1:2:3 with image pixels\n";
  }
  text << "unset multiplot\nunset output\n";
  return text.str();
}

std::string find_gnuplot() {
  const char* path = std::getenv("PATH");
  std::stringstream folders(path == nullptr ? "" : path);
  std::string folder;
  while (std::getline(folders, folder, ':')) {
    const std::string program = (folder.empty() ? "." : folder) + "/gnuplot";
    if (access(program.c_str(), X_OK) == 0) return program;
  }
  return "";
}

// Runs gnuplot on a script file; what it says on stderr comes back when it fails.
void run_gnuplot(const std::string& program, const std::string& script_path, const std::string& log_path) {
  const pid_t child = fork();
  if (child < 0) throw IoError("gnuplot: cannot start a process");
  if (child == 0) {
    if (std::freopen(log_path.c_str(), "w", stderr) == nullptr || std::freopen("/dev/null", "w", stdout) == nullptr) _exit(126);
    execl(program.c_str(), program.c_str(), script_path.c_str(), static_cast<char*>(nullptr));
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

bool gnuplot_available() { return !find_gnuplot().empty(); }

namespace {

// Draws each path with the script made for it, in a folder that goes away.
void draw(const std::vector<std::string>& paths, const std::function<std::string(const std::string& output, bool svg)>& make_script) {
  const std::string program = find_gnuplot();
  if (program.empty()) throw IoError("gnuplot is not on the PATH, so no picture is drawn (install gnuplot-nox)");
  std::string folder = (fs::temp_directory_path() / "vene-plot-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) throw IoError(folder + ": cannot make a temporary folder");
  struct Remover {
    std::string folder;
    ~Remover() {
      std::error_code ignored;
      fs::remove_all(folder, ignored);
    }
  } remover{folder};
  for (const std::string& path : paths) {
    const bool svg = path.ends_with(".svg");
    if (!svg && !path.ends_with(".png")) throw IoError(path + ": expected a name ending in .png or .svg");
    const std::string picture = folder + (svg ? "/picture.svg" : "/picture.png");
    io::write_file(folder + "/script.gp", make_script(picture, svg));
    run_gnuplot(program, folder + "/script.gp", folder + "/log");
    io::write_file(path, io::read_file(picture));
  }
}

}  // namespace

void draw_heat_maps(const std::vector<std::string>& paths, const std::vector<HeatMap>& maps, const std::string& title) {
  draw(paths, [&](const std::string& output, bool svg) { return script(maps, title, output, svg); });
}

void draw_curve(const std::string& path, const Curve& curve) {
  draw({path}, [&](const std::string& output, bool svg) {
    std::ostringstream text;
    text << "set encoding utf8\nset terminal " << (svg ? "svg" : "pngcairo") << " size 720,420 font 'sans,11' background '#ffffff'\nset output " << quoted(output)
         << "\n$curve << VENE_END_OF_DATA\n";
    for (std::size_t i = 0; i < curve.x.size(); ++i) text << curve.x[i] << ' ' << curve.y[i] << '\n';
    text << "VENE_END_OF_DATA\nunset key\nset grid lc '#dddddd'\nset title " << quoted(curve.title) << " noenhanced\nset xlabel " << quoted(curve.x_label)
         << " noenhanced\nset ylabel " << quoted(curve.y_label) << " noenhanced\nplot $curve using 1:2 with lines lw 1.5 lc '#3f007d'\n";
    return text.str();
  });
}

}  // namespace vene
