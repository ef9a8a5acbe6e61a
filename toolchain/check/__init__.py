"""`nastool check`: does a file still fit its budget, and is it as fast as before?

`judge` turns rounds into a verdict, `baseline` loads what is compared with, `files` finds the target of each file,
`measure` times them, `gate` combines them, `ci` writes reports.
"""
