"""`nastool check`: does a file still fit its budget, and is it as quick as before?

`judge` turns rounds into a verdict, `baseline` loads what is compared with, `measure` times files, `gate`
combines them, `ci` writes reports.
"""
