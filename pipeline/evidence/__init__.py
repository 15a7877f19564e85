"""What a sweep says about its question: the verdict, its table, its plots and its page.

Everything here works on plain `Run` records and writes nothing but the file it is told to. Importing this
package is cheap: scipy, rich and matplotlib are imported by the functions that need them.
"""

from pipeline.evidence.page import write_page
from pipeline.evidence.plots import figures
from pipeline.evidence.run import Run
from pipeline.evidence.table import print_table, print_verdict
from pipeline.evidence.verdict import verdict

__all__ = ["Run", "figures", "print_table", "print_verdict", "verdict", "write_page"]
