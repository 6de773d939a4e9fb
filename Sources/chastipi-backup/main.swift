import CLinux
import Glibc

linux_spare_memory()
exit(Program.run(Array(CommandLine.arguments.dropFirst())))
